"""What the njit variants of the operations stand on.

compiling     how kernels are compiled
threads       how they use the cores; `work_slots`: how work reaches another thread
thread_count  how many threads there are, and who decided it
float_mode    whether a thread flushes denormal numbers
roofline      the measured peak of this machine
simd          register tiles, emitted as vector code
"""
