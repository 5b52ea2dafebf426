"""The grader of `fastnn check --course`: a student's file, judged function by function.

    exercises    the graded functions: their arguments, results and points; calls: how the courses call them
    student      calls of a student's function, on copies of the arguments and for a limited time
    judging      one function compared with the naive loops, and with numeric gradients if a gradient is wrong
    worker       the process that imports the file and judges its functions
    supervision  starts workers, ends those that hang, and goes on with the next function
    report       the findings as text and as JSON

It is made for honest mistakes: the file runs as the user who grades it, and may do whatever that user may.
This module imports nothing.
"""
