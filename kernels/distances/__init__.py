"""Distances between the rows of two matrices, and the rows of one that are nearest to those of the other.

distances[n, m] = sum_d (x[n, d] - y[m, d])^2

Common to both. Inputs, float32 or float64 of any layout (integers are computed in float64), never modified: x (N, D)
and y (M, D) rows. Every backend: N = 0 is allowed, and D = 0, which gives distances 0. Raises ValueError for shapes
that do not match, TypeError for other dtypes.
"""

from ..dispatch import signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)


@signatures.checked
def squared_distances(x, y):
    """Return the squared Euclidean distance of each row of x to each row of y: (N, M), in the dtype of the inputs.

    Inputs: x (N, D), y (M, D) rows
    Every backend: no distance is negative, and equal rows have distance 0. NaN and infinity propagate as in the
    formula. The fast variants compute |x|^2 + |y|^2 - 2 * x.y with a matrix product; where that cancels, because it is
    at most 1/16 of |x|^2 + |y|^2, or where it overflows, they sum the squares of the differences. So the relative error
    of a distance is at most about 16 times that of a sum of D terms in the dtype of the inputs. With FASTNN_TF32=1 a
    GPU sums all float32 distances directly.
    Cost: 2*N*D*M flops; 3*D more for each pair of rows that is summed directly.
    """
    x, y = _floats("squared_distances", x=x, y=y)
    return _variant().squared_distances(x, y)


@signatures.checked
def nearest_neighbors(x, y, k):
    """Return the indices of the k rows of y nearest to each row of x: (N, k) int64, the nearest first.

    x (N, D), y (M, D): rows
    k: from 1 to M
    Every backend: distances are sums of squared differences in float64, whatever the dtype, and compared as such: a tie
    goes to the smaller index, and NaN comes after infinity. Only distances that are equal but for the rounding of
    float64 may come in either order, since backends sum in different orders; equal rows of y are always ties.
    The fast variants compare approximate distances, from matrix products, and compute in float64 only those that may be
    among the k smallest; no more than blocks of the (N, M) distances are in memory at any time.
    Raises ValueError for k out of range too.
    Cost: 2*N*D*M flops; for each row of x about k * log(M) distances in float64, all if y varies far less around its
    mean than rounding to float32 does, or if it overflows there.
    Source: Fix & Hodges, Discriminatory analysis: nonparametric discrimination (1951).
    """
    x, y = _floats("nearest_neighbors", x=x, y=y)
    k = validation.integer("nearest_neighbors", "k", k, minimum=1, maximum=len(y))
    return _variant().nearest_neighbors(x, y, k)
