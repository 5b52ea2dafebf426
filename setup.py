"""The folder kernels/ is installed as the package fastnn.kernels; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

kernels = [f"fastnn.{name}" for name in find_packages(include=["kernels", "kernels.*"])]
setup(packages=[*find_packages(include=["fastnn", "fastnn.*"]), *kernels])
