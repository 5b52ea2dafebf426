"""Data-parallel training: one Solver on several ranks, with the same bits on any number of them.

    mpiexec -n 4 python -m mpi4py train.py      # with Solver(..., comm=MPI.COMM_WORLD, shards=8)

A batch is cut into `shards` equal parts. Each rank computes the gradients of consecutive shards, and all gradients are
added along one binary tree over the shards, whatever rank computed them.

communicator    the small interface to a message-passing library, and a single rank
mpi             that of mpi4py
nccl            that of ranks with a GPU each, through CuPy
ranks           waits for other ranks, hears of their failures, and gathers small objects
flat            gradients, running statistics and the loss as one buffer
tree            its sum over all shards
data_parallel   an iteration, an evaluation and a checkpoint of a Solver on its ranks
agreement       what ranks compare at the start and at checkpoints
cores           each rank's share of the cores of its machine
"""
