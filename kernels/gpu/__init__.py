"""Building blocks of the cuda variants.

    availability    whether kernels can run here, on a GPU or in a simulator (NUMBA_ENABLE_CUDASIM=1)
    launch          decorators `kernel` and `device`; a kernel is called with its number of threads
    words           types of a kernel's arguments
    simulator       runs kernels in Python, one thread at a time
    cubins          compiles kernels to machine code, also without a GPU; stored on disk
    memory          copies between host and GPU; `device` registers device arrays with `dispatch.arrays`
    fake_cupy       in the simulator: fake device arrays that NumPy cannot read implicitly
    fake_cuda       in the simulator: streams, graphs, memory pools, devices
    nccl            transfers between the GPUs of several processes
    gather          rows of an array by index
    row_losses      softmax and SVM loss of rows of scores
    cuda_graphs     front of `tracing`, `graphs` and `graph_inputs`, which imports no GPU packages
    tracing         records GPU work, to tell whether it can be captured
    graphs          captures work as a CUDA graph and replays it
    graph_inputs    per-step inputs of a CUDA graph, uploaded in advance
    multi_tensor    one launch for many arrays
    reduce          sums over many elements, by blocks of threads
    normalize       batch and group normalization
    products        matrix products: one thread per output, or on tiles
    tiles, thin_tiles, tensor_cores    tiles in shared memory, of few rows, on tensor cores
    tile_shapes     their sizes and kernels
    cost            chooses a tile by a model of its time
    vector_loads    128-bit loads and stores, asynchronous copies
    warp            shuffles and tensor-core instructions of a warp
    convolution     a convolution and its gradients as matrix products

A cuda variant reads like the naive one: each kernel is the work of one thread, which computes one output. The launch
replaces the loop over outputs. Long sums are computed by a warp or by a block.
"""
