"""Tests of the backend cuda that run in numba's simulator of a GPU."""
