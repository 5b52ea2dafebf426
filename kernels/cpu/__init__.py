"""Building blocks of the njit variants.

compiling     how kernels are compiled
background    a thread that loads or compiles kernels before they are called
threads       parallel loops on persistent threads
work_slots    memory through which work reaches these threads
thread_count  the number of threads, and the variable that set it
float_mode    the floating-point mode of a thread: denormals, rounding
processor     the model of the processor and its caches
roofline      the measured peak performance of this machine
block_sizes   sizes of blocks, as commands and checkpoints see them
tuning        timing of alternatives to the model's sizes of blocks
simd          register tiles, emitted as LLVM vector code
"""
