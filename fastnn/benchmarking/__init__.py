"""Timing of the kernels on every backend and of PyTorch, used by `fastnn bench` and benchmarks/.

    cases     the benchmark cases: operations on arrays of given shapes, their cost, their calls in fastnn and PyTorch
    measure   timing: interleaved calls, medians
    roofline  the measured peak of the machine, which `fastnn.environment` describes
    malloc    settings of malloc, which affect PyTorch's times; a run in a separate process with tuned malloc
    report    the benchmark run: check values, time, compare; ready for JSON; summary: ratios and means
    table     a report as text, and tables in Markdown; chart: a report as a picture

This module imports nothing; numba, torch and the kernels are loaded when a case runs.
"""
