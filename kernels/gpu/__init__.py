"""What the cuda variants of the operations stand on.

    driver        whether kernels can run here: on a GPU, or in numba's simulator (NUMBA_ENABLE_CUDASIM=1)
    launch        `kernel` and `device` compile functions, a kernel is called with the number of its threads
    simulator     blocks of threads that take turns, in Python
    cubins        from a function to machine code for a GPU, without one; kept on disk
    memory        arrays to the GPU and back
    standin       in the simulator, arrays that NumPy may not read, as it may not read a GPU's
    rows          some rows of an array
    scores        losses of rows of scores
    seeds         of masks, from a key and a count
    replay        what a function has the GPU do, noted and repeated: CUDA graphs
    stretch       what repeated steps differ in, as tables
    tables        one launch for many arrays
    reduce        sums over many elements, by blocks of threads
    normalize     batch and group normalization
    products      products of matrices: plainly; on `tiles`; with `tensor_cores`
    transfers     several numbers at once, and copies that nobody waits for
    warp          what 32 threads do together
    convolution   a convolution and its gradients as such products

A cuda variant is read like the naive one beside it: each kernel is one thread's work, and a thread computes one output.
There is no loop over outputs; the launch is that loop. Long sums are the work of a warp or of a block.
"""
