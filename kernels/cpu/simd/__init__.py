"""The engine under the njit backend: register tiles emitted as vector code, and what is built from them.

cpu_info          the registers of this CPU, and the tile shapes that follow
ir_builder        vector code, instruction by instruction
tiles             the register tiles, emitted with it
row_copies        rows moved and pooled, likewise; interleave: those of several images mixed, and memory fetched ahead
geometry          where things lie when a convolution runs on tiles (worked out once, in NumPy)
convolution       the forward pass, with ReLU and pooling fused in
gradients         dx, dw and db
padding           rows moved into and out of zero-bordered planes
gemm_tiles        the register tile of matrix products, and how memory is brought into its order
matmul            matrix products of the affine layer
normalize         batch norm, with ReLU and pooling fused in
norm_loops        its loops over memory; norm_vectors: what they do to a row; norm_sums: sums over runs of memory
pool2x2           2 x 2 pooling, of narrow planes many at a time; pool_overlapping: windows that overlap
groups            group norm, with ReLU fused in
scores            the losses of one image's scores
multi_tensor      many arrays in one launch
elementary        exponentials and the normal distribution, inside loops that vectorise
numpy_reference   the emitted code in NumPy, for NUMBA_DISABLE_JIT=1; norm_reference: that of norms and pooling
"""
