"""`fastnn.nn.functional`: values and gradients of torch's namesakes, numeric gradients, errors."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastnn
import fastnn.nn.functional as F
from fastnn import autograd, nn
from fastnn.autograd import Tensor

WHY = "torch is not installed: nothing to compare with"
BOUNDS = {np.float64: 1e-10, np.float32: 1e-4}  # of the largest number in an array; float32: sums of up to 100 terms
BACKENDS = ("vectorized", "njit")
LABELS = np.array([0, 3, 1, 1, 2])


def numbers(shape, seed, dtype):
    """Normal numbers at least 0.01 from 0 and from each other, so away from kinks; seeds differ between arguments."""
    generator = np.random.default_rng(seed)
    spread = generator.permutation(np.prod(shape, dtype=int)) - np.prod(shape, dtype=int) / 2 + 0.25
    return (spread.reshape(shape) * 0.05 + generator.uniform(-0.005, 0.005, shape)).astype(dtype)


# name: (function, shapes of the inputs that require gradients, further arguments, options)
CASES = {
    "linear": ("linear", [(5, 3), (4, 3), (4,)], (), {}),
    "linear without bias": ("linear", [(5, 3), (4, 3)], (), {}),
    "linear of stacks": ("linear", [(2, 5, 3), (4, 3), (4,)], (), {}),
    "linear of a vector": ("linear", [(3,), (4, 3), (4,)], (), {}),
    "linear of no rows": ("linear", [(0, 3), (4, 3), (4,)], (), {}),
    "conv2d": ("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], (), {}),
    "conv2d without bias": ("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2)], (), {"padding": 1}),
    "conv2d positional": ("conv2d", [(2, 3, 7, 8), (4, 3, 3, 2), (4,)], ((2, 1), (1, 0), (1, 2)), {}),
    "max_pool2d": ("max_pool2d", [(2, 3, 6, 5)], (2,), {}),
    "max_pool2d positional": ("max_pool2d", [(2, 3, 6, 5)], ((3, 2), (1, 2), (1, 0)), {}),
    "avg_pool2d": ("avg_pool2d", [(2, 3, 6, 5)], (2,), {}),
    "avg_pool2d overlapping": ("avg_pool2d", [(2, 3, 6, 5)], (3,), {"stride": 1, "padding": 1}),
    "adaptive_avg_pool2d": ("adaptive_avg_pool2d", [(2, 3, 6, 5)], (1,), {}),
    "adaptive_avg_pool2d of a pair": ("adaptive_avg_pool2d", [(2, 3, 6, 5)], ((1, 1),), {}),
    "relu": ("relu", [(3, 4, 2)], (), {}),
    "leaky_relu": ("leaky_relu", [(3, 4)], (), {}),
    "leaky_relu sloped": ("leaky_relu", [(3, 4)], (0.2,), {}),
    "elu": ("elu", [(3, 4)], (), {}),
    "elu scaled": ("elu", [(3, 4)], (), {"alpha": 0.5}),
    "gelu": ("gelu", [(3, 4)], (), {}),
    "sigmoid": ("sigmoid", [(3, 4)], (), {}),
    "tanh": ("tanh", [(3, 4)], (), {}),
    "prelu": ("prelu", [(3, 4, 2), (1,)], (), {}),
    "prelu of channels": ("prelu", [(3, 4, 2), (4,)], (), {}),
    "softmax": ("softmax", [(3, 4, 2)], (1,), {}),
    "log_softmax": ("log_softmax", [(3, 4)], (), {"dim": -1}),
    "dropout in evaluation": ("dropout", [(3, 4)], (0.5, False), {}),
    "layer_norm": ("layer_norm", [(3, 4)], ((4,),), {}),
    "layer_norm of images": ("layer_norm", [(3, 4, 2, 5), (2, 5), (2, 5)], (), {"normalized_shape": (2, 5)}),
    "layer_norm without bias": ("layer_norm", [(3, 2, 5), (5,)], (), {"normalized_shape": [5], "eps": 1e-2}),
    "group_norm": ("group_norm", [(3, 4, 2, 5)], (2,), {}),
    "group_norm scaled": ("group_norm", [(3, 4, 6), (4,), (4,)], (), {"num_groups": 4, "eps": 1e-3}),
    "mse_loss": ("mse_loss", [(3, 4), (3, 4)], (), {}),
    "mse_loss summed": ("mse_loss", [(3, 4, 2), (3, 4, 2)], (), {"reduction": "sum"}),
    "mse_loss of each": ("mse_loss", [(3, 4), (3, 4)], (), {"reduction": "none"}),
}  # fmt: skip
LOSSES = {
    "cross_entropy": ({}, {"label_smoothing": 0.2}),
    "nll_loss": ({},),
    "multi_margin_loss": ({}, {"p": 2}, {"margin": 0.3}, {"p": 2, "margin": 1.7}),
}
for _name, _variants in LOSSES.items():
    for _options in _variants:
        for _reduction in ("mean", "sum", "none"):
            _given = {**_options, "reduction": _reduction}
            CASES[f"{_name} {_given}"] = (_name, [(5, 4)], (LABELS,), _given)
KEYWORDS = ("input", "weight", "bias")


def run(library, tensor, name, dtype):
    """Return the value of a case and its gradients, as arrays."""
    function, shapes, arguments, options = CASES[name]
    leaves = [tensor(numbers(shape, seed, dtype)) for seed, shape in enumerate(shapes)]
    arguments = [tensor(one, False) if isinstance(one, np.ndarray) else one for one in arguments]
    if "normalized_shape" in options or "num_groups" in options:
        out = getattr(library, function)(**dict(zip(KEYWORDS, leaves, strict=False)), **options)
    else:
        out = getattr(library, function)(*leaves, *arguments, **options)
    weights = tensor(numbers(tuple(out.shape), 9, dtype), False)
    (out * weights).sum().backward()
    return [out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def ours(name, dtype):
    return run(F, lambda array, needed=True: Tensor(array, requires_grad=needed), name, dtype)


def torchs(name):
    torch = pytest.importorskip("torch", reason=WHY)
    make = lambda array, needed=True: torch.tensor(array, requires_grad=needed)  # noqa: E731
    return run(torch.nn.functional, make, name, np.float64)


def assert_equal(actual, expected, bound):
    """Compare arrays relative to the largest number of each."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, float(np.abs(other).max(initial=0.0)))
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * scale)


@pytest.mark.parametrize("name", CASES)
def test_functions_are_those_of_torch(name, backend):
    expected = torchs(name)
    for dtype, bound in BOUNDS.items():
        actual = ours(name, dtype)
        assert {array.dtype for array in actual} == {np.dtype(dtype)}
        assert_equal(actual, expected, bound)


def test_every_function_has_a_case():
    tested_below = {"batch_norm", "flatten", "one_hot"}
    assert {function for function, *_ in CASES.values()} | tested_below == set(F.__all__)


def test_the_comparison_can_fail():
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equal([np.ones(3)], [np.ones(3) + 1e-9], 1e-10)


# ---- drawn shapes ----

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def compare(function, shapes, options):
    """Compare one call, in float64, with torch on two backends."""
    torch = pytest.importorskip("torch", reason=WHY)
    given_to_both = [numbers(shape, seed, np.float64) for seed, shape in enumerate(shapes)]
    theirs = [torch.tensor(array, requires_grad=True) for array in given_to_both]
    out = getattr(torch.nn.functional, function)(*theirs, **options)
    dout = numbers(tuple(out.shape), 9, np.float64)
    out.backward(torch.tensor(dout))
    expected = [out.detach().numpy(), *(leaf.grad.numpy() for leaf in theirs)]
    for backend in BACKENDS:
        with fastnn.use_backend(backend):
            leaves = [Tensor(array, requires_grad=True) for array in given_to_both]
            out = getattr(F, function)(*leaves, **options)
            out.backward(dout)
            assert_equal([out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)], expected, 1e-10)


@settings(max_examples=60)
@given(
    lengths=st.tuples(*[st.integers(1, 4)] * 3, st.integers(1, 9), st.integers(1, 9)),
    size=PAIRS, stride=PAIRS, padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), dilation=PAIRS,
    bias=st.booleans(),
)  # fmt: skip
def test_convolutions_of_any_shape(lengths, size, stride, padding, dilation, bias):
    N, C, filters, *image = lengths
    for length, pad, spread, width in zip(image, padding, dilation, size, strict=True):
        assume(length + 2 * pad >= spread * (width - 1) + 1)
    shapes = [(N, C, *image), (filters, C, *size), *[(filters,)] * bias]
    compare("conv2d", shapes, {"stride": stride, "padding": padding, "dilation": dilation})


@settings(max_examples=60)
@given(
    function=st.sampled_from(["max_pool2d", "avg_pool2d"]),
    shape=st.tuples(*[st.integers(1, 3)] * 2, st.integers(3, 9), st.integers(3, 9)),
    size=PAIRS, stride=st.none() | PAIRS, pad=st.booleans(),
)  # fmt: skip
def test_pooling_of_any_shape(function, shape, size, stride, pad):
    padding = tuple(length // 2 if pad else 0 for length in size)
    compare(function, [shape], {"kernel_size": size, "stride": stride, "padding": padding})


# ---- batch normalization ----


@pytest.mark.parametrize("shape", [(5, 4), (3, 4, 6), (2, 4, 3, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_that_of_torch(shape, training, backend):
    torch = pytest.importorskip("torch", reason=WHY)
    arrays = [numbers(one, seed, np.float64) for seed, one in enumerate((shape, (4,), (4,)))]
    mean, var, dout = numbers((4,), 3, np.float64), np.abs(numbers((4,), 4, np.float64)), numbers(shape, 9, np.float64)
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    their_mean, their_var = torch.tensor(mean), torch.tensor(var)
    expected = torch.nn.functional.batch_norm(theirs[0], their_mean, their_var, *theirs[1:], training, 0.3, 1e-3)
    expected.backward(torch.tensor(dout))
    for dtype, bound in BOUNDS.items():
        leaves = [Tensor(array.astype(dtype), requires_grad=True) for array in arrays]
        our_mean, our_var = Tensor(mean.astype(dtype)), var.astype(dtype)
        out = F.batch_norm(leaves[0], our_mean, our_var, *leaves[1:], training, 0.3, 1e-3)
        out.backward(dout)
        actual = [out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves), our_mean.numpy()]
        running_mean = their_mean.numpy()
        gradients = [leaf.grad.numpy() for leaf in theirs]
        assert_equal(actual, [expected.detach().numpy(), *gradients, running_mean], bound)
        count = arrays[0].size // 4
        biased = 0.7 * var + (their_var.numpy() - 0.7 * var) * (count - 1) / count if training else var
        assert_equal([our_var], [biased], bound)


def test_batch_norm_updates_what_batchnorm2d_does(backend):
    layer, x = nn.BatchNorm2d(4, dtype=np.float64), numbers((2, 4, 3, 5), 0, np.float64)
    mean, var = np.zeros(4), np.ones(4)
    out = F.batch_norm(x, mean, var, training=True)
    expected, _ = layer.forward(x)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(mean, layer.buffers["running_mean"], rtol=1e-13)
    np.testing.assert_allclose(var, layer.buffers["running_var"], rtol=1e-13)
    assert np.array_equal(F.batch_norm(x, None, None, training=True).numpy(), out.numpy())


def test_running_statistics_changed_before_backward_raise(one_backend):
    x, mean = Tensor(np.ones((2, 4)), requires_grad=True), Tensor(np.zeros(4))
    out = F.batch_norm(x, mean, np.ones(4))
    F.batch_norm(x, mean, np.ones(4), training=True)
    with pytest.raises(RuntimeError, match="an array that batch_norm needs was overwritten"):
        out.sum().backward()


# ---- the rest ----


def test_dropout(backend):
    x = Tensor(np.ones((40, 50)), requires_grad=True)
    fastnn.reset_seed(3)
    out = F.dropout(x, 0.25)
    assert set(out.detach().numpy().ravel()) == {0, 1 / 0.75}
    assert 0.7 < (out.detach().numpy() > 0).mean() < 0.8
    (out * 3).sum().backward()
    assert np.array_equal(x.grad.numpy(), 3 * out.detach().numpy())
    assert not np.array_equal(F.dropout(x, 0.25).detach().numpy(), out.detach().numpy())
    fastnn.reset_seed(3)
    assert np.array_equal(F.dropout(x, 0.25).detach().numpy(), out.detach().numpy())
    assert F.dropout(x, 0.25, training=False) is x
    assert np.array_equal(F.dropout(x, 0).detach().numpy(), np.ones((40, 50)))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_one_hot_is_that_of_torch(shape, one_backend):
    torch = pytest.importorskip("torch", reason=WHY)
    labels = np.random.default_rng(1).integers(0, 4, shape)
    for classes in (-1, 5):
        expected = torch.nn.functional.one_hot(torch.tensor(labels), classes).numpy()
        actual = F.one_hot(Tensor(labels), classes).numpy()
        assert actual.dtype == np.int64 and np.array_equal(actual, expected)


@pytest.mark.parametrize("dims", [(), (1,), (0, 1), (1, -1), (-2, -1)])
def test_flatten_is_that_of_torch(dims, one_backend):
    torch = pytest.importorskip("torch", reason=WHY)
    x = numbers((2, 3, 4), 0, np.float64)
    assert np.array_equal(F.flatten(x, *dims).numpy(), torch.flatten(torch.tensor(x), *dims).numpy())
    assert F.flatten(np.array(3.0)).tolist() == [3]


def test_arrays_are_constants_and_dtypes_mix(backend):
    x, w = numbers((2, 3, 4, 4), 0, np.float32), Tensor(numbers((2, 3, 3, 3), 1, np.float64), requires_grad=True)
    out = F.conv2d(x, w)
    assert out.dtype == np.float64 and out.grad_fn.name == "conv2d"
    out.sum().backward()
    assert w.grad.dtype == np.float64
    assert F.relu([[1.0, -1.0]]).tolist() == [[1, 0]]
    assert F.mse_loss([1.0, 2.0], [1, 4]).item() == 2 and F.cross_entropy([[0.0]], [0]).item() == 0
    assert not F.relu(x).requires_grad
    mixed = Tensor(x, requires_grad=True)
    F.conv2d(mixed, w).sum().backward()
    assert mixed.grad.dtype == np.float32


def test_transposed_inputs(backend):
    x = Tensor(numbers((6, 4, 3, 2), 0, np.float64), requires_grad=True)
    out = F.layer_norm(F.conv2d(x.permute(3, 2, 0, 1), numbers((4, 3, 3, 3), 1, np.float64)), (4, 2))
    assert out.shape == (2, 4, 4, 2)
    (out * out).sum().backward()
    assert x.grad.shape == x.shape


def test_losses_of_no_rows_are_zero(backend):
    x, y = Tensor(np.ones((0, 4)), requires_grad=True), np.zeros(0, np.int64)
    for loss in (F.cross_entropy, F.nll_loss, F.multi_margin_loss):
        assert loss(x, y).item() == 0 and loss(x, y, reduction="none").shape == (0,)
    assert F.mse_loss(x, x.detach()).item() == 0


def network(x, w):
    return F.cross_entropy(F.flatten(F.max_pool2d(F.gelu(F.conv2d(x, w, padding=1)), 2), 1), LABELS)


NUMERIC = {
    "conv2d": lambda x: F.conv2d(x.reshape(1, 2, 5, 4), numbers((3, 2, 3, 2), 1, np.float64), None, 2, 1),
    "linear": lambda x: F.linear(x.reshape(5, 8), x.flatten()[:16].reshape(2, 8)),
    "batch_norm": lambda x: F.batch_norm(x.reshape(5, 8), None, None, training=True),
    "cross_entropy": lambda x: F.cross_entropy(x.reshape(5, 8), LABELS, label_smoothing=0.1),
    "multi_margin_loss": lambda x: F.multi_margin_loss(x.reshape(5, 8), LABELS, p=2),
    "a network": lambda x: network(x.reshape(5, 1, 4, 2), numbers((2, 1, 3, 3), 1, np.float64)),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMERIC)
def test_gradients_are_those_of_differences(name, one_backend):
    x = Tensor(numbers((40,), 0, np.float64), requires_grad=True)
    dout = numbers(NUMERIC[name](x).shape, 9, np.float64) + 1
    NUMERIC[name](x).backward(dout)
    expected = np.zeros(40)
    for place in range(40):
        step = np.zeros(40)
        step[place] = 1e-5
        with autograd.no_grad():
            up, down = (NUMERIC[name](Tensor(x.data + sign * step)).numpy() for sign in (1, -1))
        expected[place] = ((up - down) * dout).sum() / 2e-5
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_a_network_learns(backend):
    images = numbers((5, 1, 4, 4), 0, np.float64)
    shapes = (3, 1, 3, 3), (3,), (4, 12), (4,)
    parameters = [Tensor(numbers(shape, seed, np.float64), requires_grad=True) for seed, shape in enumerate(shapes)]
    first = last = None
    for _ in range(20):
        w1, b1, w2, b2 = parameters
        hidden = F.max_pool2d(F.relu(F.conv2d(images, w1, b1, padding=1)), 2)
        loss = F.cross_entropy(F.linear(hidden.flatten(1), w2, b2), LABELS)
        loss.backward()
        first, last = first or loss.item(), loss.item()
        with autograd.no_grad():
            for parameter in parameters:
                parameter -= 0.3 * parameter.grad
                parameter.zero_grad()
    assert last < 0.5 * first


def test_nn_imports_it_on_first_use():
    code = (
        "import sys, fastnn.nn; assert 'fastnn.autograd' not in sys.modules; "
        "assert fastnn.nn.functional.relu([-1.0]).tolist() == [0]; import fastnn.nn.functional as F; "
        "assert F is fastnn.nn.functional"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'functionals'"):
        _ = nn.functionals
