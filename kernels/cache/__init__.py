"""Compiled kernels on disk.

code_cache  machine code of the njit kernels, next to their source or in the user's cache folder
sources     a digest of all sources, to which machine code belongs
user_cache  the folder for files that can be made again
"""
