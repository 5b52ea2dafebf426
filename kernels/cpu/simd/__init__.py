"""The engine of the njit backend: register tiles emitted as LLVM vector code, and the kernels built from them.

cpu_info          the vector registers of this CPU, and the tile shapes that fit them
ir_builder        short names for LLVM instructions
sizes             the table of the sizes of blocks: those of size_model, or of tuned_sizes, timed on this machine
tiles             the register tiles of convolutions
row_copies        copies and pooling of rows; interleave: rows of several images interleaved, prefetching
geometry          the memory layout and tables of a convolution on tiles, computed once in NumPy
convolution       forward pass of a convolution, with ReLU and pooling fused
gradients         dx, dw and db of a convolution
padding           copies into zero-padded planes, and from scratch planes to the output
gemm_tiles        the register tile of matrix products, and the packing of panels
matmul            matrix products of the affine layer; affine_chain: a training step of affine layers in one call
normalize         batch norm, with ReLU and pooling fused
norm_loops        its loops over tiles of columns; norm_vectors: their vector code; norm_sums: sums over runs of memory
pool2x2           2 x 2 pooling, many narrow planes at a time; pool_overlapping: overlapping windows
groups            group norm, with ReLU fused
scores            softmax and SVM loss of one row of scores
multi_tensor      many arrays in one launch
elementary        exponentials and the normal distribution, in code that vectorises
numpy_reference   the emitted code in NumPy, for NUMBA_DISABLE_JIT=1; norm_reference: that of norms and pooling
"""
