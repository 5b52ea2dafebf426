"""Timing of the kernels on every backend, and of PyTorch beside them: what `fastnn bench` and benchmarks/ share.

    cases     what is timed: every operation on arrays of given shapes; its cost; as calls of ours and of PyTorch's
    measure   how it is timed: peers in alternation, medians
    roofline  the measured peak of the machine, which `fastnn.environment` describes
    malloc    how memory is had, on which PyTorch's times depend; a run in a process of its own with malloc tuned
    report    all of it in one run: values checked, timed, compared; ready for JSON; summary: its ratios and means
    table     a report as text, and tables in Markdown; chart: a report as a picture

Nothing is imported here: numba, torch and the kernels are loaded by whoever runs a case.
"""
