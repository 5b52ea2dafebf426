"""Tests of kernels against their contracts, used by `fastnn check` and `fastnn.testing.check_kernel`.

    specs      every public kernel: the shapes of its arguments, the names of its results
    strategies random plans: lengths, strides, layouts, dtypes, ties, NaN, empty batches
    cases      arguments built from a plan, and the expected results of the naive loops in float64
    compare    comparison of results, inputs, and repeated calls, also from several threads
    shrinking  the smallest case that still fails
    causes     the probable cause of a failure; hypotheses: causes that predict the wrong values
    report     the report on one kernel; timing: its speed compared with fastnn's backends
    checking   the whole check of one kernel; support_matrix: of every operation, backend and dtype

This module imports nothing; its submodules import only NumPy and fastnn.
"""
