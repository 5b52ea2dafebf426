"""What the cuda variants of the operations stand on.

    availability    whether kernels can run here: on a GPU, or in numba's simulator (NUMBA_ENABLE_CUDASIM=1)
    launch          `kernel` and `device` compile functions; a kernel is called with the number of its threads
    simulator       blocks of threads that take turns, in Python
    cubins          from a function to machine code for a GPU, without one; kept on disk
    memory          arrays to the GPU and back; `device` registers them with `dispatch.arrays`
    fake_cupy       in the simulator, fake device arrays that NumPy cannot read implicitly
    gather          some rows of an array
    row_losses      losses of rows of scores
    cuda_graphs     work captured once and replayed, for callers that need no GPU; done in `graphs`
    graph_inputs    per-step inputs of a CUDA graph, uploaded in advance
    multi_tensor    one launch for many arrays
    reduce          sums over many elements, by blocks of threads
    normalize       batch and group normalization
    products        products of matrices: plainly; on `tiles`; with `tensor_cores`
    vector_loads    several numbers at once, and asynchronous copies
    warp            what 32 threads do together
    convolution     a convolution and its gradients as such products

A cuda variant is read like the naive one beside it: each kernel is one thread's work, and a thread computes one output.
There is no loop over outputs; the launch is that loop. Long sums are the work of a warp or of a block.
"""
