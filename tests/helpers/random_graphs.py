"""Random graphs of operations that run on Tensors of fastnn and of torch alike."""

import math
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

SHAPES = [(2, 3, 4), (3, 4), (4,), (2, 1, 4), (3, 1), (1, 4), (2, 3, 1), (), (1,), (4, 4), (2, 4, 3)]
STEPS = st.tuples(*[st.integers(0, 10**6)] * 4)


class Graph(NamedTuple):
    """The shapes of the leaves, the seed of their numbers, and steps: an operation and what it is applied to."""

    shapes: list
    seed: int
    steps: list


GRAPHS = st.builds(
    Graph,
    st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4),
    st.integers(0, 2**31),
    st.lists(STEPS, min_size=1, max_size=12),
)


class Kinks:
    """The least distance to a point where a derivative jumps, over everything that was computed."""

    def __init__(self):
        self.distance = math.inf

    def near(self, difference):
        values = np.abs(np.asarray(difference.detach().numpy(), np.float64))
        self.distance = min(self.distance, float(values.min(initial=math.inf)))

    def near_ties(self, x, dim):
        values = np.sort(np.asarray(x.detach().numpy(), np.float64), axis=dim)
        self.distance = min(self.distance, float(np.abs(np.diff(values, axis=dim)).min(initial=math.inf)))


def leaves_of(graph, dtype):
    """Return the arrays of the leaves."""
    generator = np.random.default_rng(graph.seed)
    return [np.asarray(generator.normal(size=shape), dtype) for shape in graph.shapes]


def run(graph, leaves, lib, kinks=None):
    """Return all values of the graph, leaves first, and the names of the operations that were applied."""
    values, names, kinks = list(leaves), [], kinks or Kinks()
    for operation, one, other, number in graph.steps:
        function = OPERATIONS[operation % len(OPERATIONS)]
        result = function(values[-1 - one % len(values)], values[-1 - other % len(values)], number, lib, kinks)
        if result is not None:
            values.append(result)
            names.append(function.__name__)
    return values, names


def loss_of(values):
    """Return a scalar in which every value counts, with weights that differ."""
    return sum((value * (0.5 + index)).mean() for index, value in enumerate(values))


def fit(one, other):
    """Whether two shapes broadcast."""
    try:
        return bool(np.broadcast_shapes(tuple(one), tuple(other)) is not None)
    except ValueError:
        return False


def axis_of(x, number):
    """An axis of x, counted from the front or from the back."""
    return number % (2 * x.ndim) - x.ndim


def axes_of(x, number):
    """Some axes of x, or None."""
    chosen = tuple(axis for axis in range(x.ndim) if number >> axis & 1)
    return chosen or None


def binary(x, y, number, lib, kinks):
    if not fit(x.shape, y.shape):
        return None
    if number % 5 > 2:  # absolute values
        kinks.near(y if number % 5 == 3 else x)
    return [x + y, x - y, x * y * 0.5, x / (y.abs() + 0.5), (x.abs() + 0.5) ** y.tanh()][number % 5]


def with_a_number(x, y, number, lib, kinks):
    return [x + 1.5, 0.5 - x, x * 0.5, x / 3, 1 / (x * x + 1), x**2, x**3 * 0.1, 1.5 ** x.tanh(), -x][number % 9]


def elementwise(x, y, number, lib, kinks):
    for kink in (-30, -0.5, 0, 0.1, 0.2, 0.7, 2):
        kinks.near(x - kink)
    return [
        lambda: x.clamp(-30, 2).exp(),
        lambda: (x * x + 0.5).log(),
        lambda: (x.abs() + 0.5).sqrt(),
        lambda: x.abs(),
        lambda: x.tanh(),
        lambda: x.sigmoid(),
        lambda: x.clamp(-0.5, 0.7),
        lambda: x.clamp(min=0.1),
        lambda: x.clamp(max=0.2),
        lambda: x.relu(),
    ][number % 10]()


def extremes(x, y, number, lib, kinks):
    if fit(x.shape, y.shape):
        kinks.near(x - y)
        chosen = number % 3
        return lib.where(x > y, x, y * 2) if chosen == 2 else [lib.maximum, lib.minimum][chosen](x, y)


def sums(x, y, number, lib, kinks):
    dim, keepdim = axes_of(x, number), bool(number >> 4 & 1)
    count = math.prod(x.shape[axis] for axis in (range(x.ndim) if dim is None else dim))
    correction = number >> 5 & 1 if count > 1 else 0
    return [
        lambda: x.sum(dim=dim, keepdim=keepdim) if dim else x.sum(),
        lambda: x.mean(dim=dim, keepdim=keepdim) if dim else x.mean(),
        lambda: x.var(dim=dim, correction=correction, keepdim=keepdim) if dim else x.var(correction=correction),
        lambda: (x.var(dim=dim, correction=correction) + 0.1).sqrt(),
        lambda: x.logsumexp(dim=dim, keepdim=keepdim) if dim else None,
    ][number % 5]()


def largest(x, y, number, lib, kinks):
    if x.ndim == 0:
        return None
    dim, keepdim = axis_of(x, number >> 3), bool(number & 1)
    kinks.near_ties(x, dim)
    if number >> 1 & 1:
        return [x.max, x.min][number >> 2 & 1](dim, keepdim=keepdim).values
    return [x.amax, x.amin][number >> 2 & 1](dim=dim, keepdim=keepdim)


def of_all(x, y, number, lib, kinks):
    kinks.near_ties(x.reshape(-1), 0)
    return [x.max, x.min][number % 2]()


def normalized(x, y, number, lib, kinks):
    if x.ndim:
        return [x.softmax, x.log_softmax][number & 1](dim=axis_of(x, number >> 1))


def product(x, y, number, lib, kinks):
    if x.ndim == 0:
        return None
    if x.ndim > 1 and number % 3 == 0:
        return (x @ x.transpose(-1, -2)) * 0.3
    if y.ndim and y.shape[-2 if y.ndim > 1 else 0] == x.shape[-1] and fit(x.shape[:-2], y.shape[:-2]):
        return (x @ y) * 0.3
    return None


def shaped(x, y, number, lib, kinks):
    dims = [int(axis) for axis in np.random.default_rng(number).permutation(x.ndim)]
    return [
        lambda: x.reshape(-1),
        lambda: x.reshape(1, -1) if number >> 4 & 1 else x.reshape((-1, 1)),
        lambda: x.flatten(),
        lambda: x.flatten(start_dim=1) if x.ndim > 1 else None,
        lambda: x.permute(*dims) if x.ndim else None,
        lambda: x.transpose(0, -1) if x.ndim else None,
        lambda: x.unsqueeze(axis_of(x, number >> 3)) if x.ndim else x.unsqueeze(0),
        lambda: x.squeeze(),
        lambda: x.expand(2, *x.shape),
    ][number % 9]()


def indexed(x, y, number, lib, kinks):
    if x.ndim == 0 or x.shape[0] < 2:
        return None
    kinks.near(x + 5)
    return [
        lambda: x[0],
        lambda: x[1:],
        lambda: x[..., -1],
        lambda: x[:, None],
        lambda: x[[0, 1, 0]],
        lambda: x[[1, 1]] * x[:1],
        lambda: x[[0, 1, 1], [0, -1, 0]] if x.ndim > 1 else x[[0, -1]],
        lambda: x[:, [0, 0]] if x.ndim > 1 else x[::2],
        lambda: x[x > -5],
    ][number % 9]()


def joined(x, y, number, lib, kinks):
    if x.ndim == 0:
        return None
    dim = axis_of(x, number >> 2)
    if number % 4 == 0:
        return lib.stack([x, y if y.shape == x.shape else x], dim)
    if number % 4 == 1:
        first, *rest = x.split(2, dim)
        return first if not rest or rest[-1].shape != first.shape else first * rest[-1]
    if x.ndim == y.ndim and all(
        a == b for axis, (a, b) in enumerate(zip(x.shape, y.shape, strict=True)) if axis != dim % x.ndim
    ):
        return lib.cat([x, y], dim)
    return lib.cat((x, x, x), dim=dim)


OPERATIONS = [
    binary, binary, with_a_number, elementwise, elementwise, extremes, sums, sums, largest, of_all, normalized, product,
    shaped, shaped, indexed, indexed, joined,
]  # fmt: skip
