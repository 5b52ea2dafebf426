"""The engine under the njit backend: register tiles emitted as vector code, and what is built from them.

host         the registers of this CPU, and the tile shapes that follow
emitter      vector code, instruction by instruction
tiles        the register tiles, emitted with it
strips       rows moved and pooled, likewise; interleave: those of several images mixed, and memory fetched ahead
geometry     where things lie when a convolution runs on tiles (worked out once, in NumPy)
convolution  the forward pass, with ReLU and pooling fused in
gradients    dx, dw and db
rows         rows moved into and out of zero-bordered planes
panels       the register tile of matrix products, and how memory is brought into its order
matmul       matrix products of the affine layer
normalize    batch norm, with ReLU and pooling fused in
columns      its loops over memory; passes: what they do to a row; planes: sums over runs of memory
quads        2 x 2 pooling, of narrow planes many at a time; overlap: windows that overlap
groups       group norm, with ReLU fused in
scores       the losses of one image's scores
chunks       many arrays in one launch
elementary   exponentials and the normal distribution, inside loops that vectorise
twins        what stands in for the emitted code where compilation is switched off; pass_twins: for that of passes
"""
