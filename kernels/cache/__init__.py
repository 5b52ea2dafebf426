"""Machine code on disk.

code_cache  of the njit kernels, beside their source or in the user's cache
sources     a digest of all sources, which machine code belongs to
user_cache  the folder for files that can be made again
"""
