"""Is a kernel what its contract says? What `fastnn check` and `fastnn.testing.check_kernel` share.

    specs      what is checked: every public kernel, the shapes of its arguments, the names of its results
    strategies which cases are drawn: lengths, strides, layouts, dtypes, ties, NaN, empty batches
    cases      a plan as arguments, and what the naive loops in float64 make of them
    compare    whether a kernel does the same, leaves its inputs alone, and does it again, in many threads at once
    shrinking  the smallest case that still fails
    causes     what is probably wrong; hypotheses: those about values, which predict them
    report     what is said about one kernel; timing: its speed beside that of our backends
    checking   all of it for one kernel; support_matrix: for every operation, backend and dtype, as a matrix

Nothing is imported here, and nothing beyond NumPy and the kernels by any of them.
"""
