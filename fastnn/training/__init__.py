"""The machinery of training behind `fastnn.solver` and the classifiers.

sampling        batches of a data set, in memory or in a file
evaluation      predicted classes and accuracies
state           the state of a Solver: snapshots, saving, resuming
stopping        a Solver that stops early, or at a number that is not finite
nonfinite       explanations of a loss that is not finite; `trace` finds the layer
placement       moves data and training state to the device of the active backend
graph_training  iterations replayed as CUDA graphs
"""
