"""What `fastnn.solver` and the classifiers train with.

sampling        batches of a data set, in memory or in a file
evaluation      predicted classes and accuracies
state           what a Solver is made of between two iterations: saved, put back, resumed
nonfinite       what is said where a loss is not finite; `trace` finds the layer
placement       data and state of the update rule in the memory where the active backend computes
graph_training  iterations repeated as CUDA graphs
"""
