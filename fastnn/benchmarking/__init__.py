"""Timing of the kernels on every backend, and of PyTorch beside them: what `fastnn bench` and benchmarks/ share.

    cases     what is timed: operations on arrays of given shapes; their cost; each as calls of ours and of PyTorch's
    measure   how it is timed: peers in alternation, medians
    machine   where it is timed: processor, versions, commit
    report    all of it in one run: values checked, timed, compared; a table and JSON

Nothing is imported here: numba, torch and the kernels are loaded by whoever runs a case.
"""
