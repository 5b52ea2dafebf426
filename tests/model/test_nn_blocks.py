"""Residual and DenseBlock: torch parity, numeric gradients, names, fused layers inside, shapes that do not match."""

import numpy as np
import pytest

from fastnn import nn
from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.nn.fused import Fused
from fastnn.testing import assert_same

DOUBLE = {"dtype": np.float64, "seed": 3}
IMAGES = (2, 3, 4, 5)
BLOCKS = {
    "identity": lambda: nn.Residual(nn.Conv2d(3, 3, 3, padding=1, **DOUBLE), nn.ReLU()),
    "shortcut": lambda: nn.Residual(
        nn.Conv2d(3, 4, 3, stride=(1, 2), padding=1, **DOUBLE),
        nn.BatchNorm2d(4, dtype=np.float64),
        nn.ReLU(),
        shortcut=nn.Conv2d(3, 4, 1, stride=(1, 2), **DOUBLE),
    ),
    "shortcut of several layers": lambda: nn.Residual(
        nn.Conv2d(3, 2, 1, **DOUBLE), shortcut=nn.Sequential(nn.Tanh(), nn.Conv2d(3, 2, 1, **DOUBLE))
    ),
    "nothing inside": lambda: nn.Residual(),
    "layers without parameters": lambda: nn.Residual(nn.Tanh()),
    "dense": lambda: nn.DenseBlock(
        nn.Conv2d(3, 2, 3, padding=1, **DOUBLE),
        nn.Sequential(nn.BatchNorm2d(5, dtype=np.float64), nn.ReLU(), nn.Conv2d(5, 1, 1, **DOUBLE)),
        nn.Tanh(),
    ),
    "dense of nothing": lambda: nn.DenseBlock(),
    "nested": lambda: nn.Residual(
        nn.DenseBlock(nn.Conv2d(3, 1, 1, **DOUBLE)), nn.Conv2d(4, 3, 1, **DOUBLE), nn.Dropout(0.3, seed=2, fixed=True)
    ),
}


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_agree_with_numeric_ones(backend, name, training):
    block, x = BLOCKS[name]().train(training), normal(*IMAGES)
    out, cache = block.forward(x)
    np.testing.assert_array_equal(block(x), out)
    dout = normal(*out.shape, seed=8)
    given = dout.copy()
    dx, grads = block.backward(dout, cache)
    np.testing.assert_array_equal(dout, given)
    assert set(grads) == set(block.params)
    assert rel_error(eval_numerical_gradient_array(block, x, dout), dx) < 1e-6
    for key, value in block.params.items():
        some = value.reshape(-1)[::7]
        expected = eval_numerical_gradient_array(lambda _: block(x), some, dout)
        np.testing.assert_allclose(grads[key].reshape(-1)[::7], expected, rtol=1e-6, atol=1e-9)
    skipped, same = block.backward(dout, cache, need_dx=False)
    assert skipped is None
    assert_same(same, grads)


def test_residual_adds_and_dense_block_appends(backend):
    x = normal(*IMAGES)
    tanh = np.tanh(x)
    np.testing.assert_allclose(nn.Residual(nn.Tanh())(x), x + tanh)
    np.testing.assert_allclose(nn.Residual(nn.Tanh(), shortcut=nn.Tanh())(x), 2 * tanh)
    both = np.concatenate((x, tanh), axis=1)
    np.testing.assert_allclose(nn.DenseBlock(nn.Tanh(), nn.Tanh())(x), np.concatenate((both, np.tanh(both)), axis=1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Residual(nn.ReLU()),
        lambda: nn.Residual(nn.ReLU(), shortcut=nn.ReLU()),
        lambda: nn.DenseBlock(nn.ReLU()),
    ],
    ids=["identity", "shortcut", "dense"],
)
def test_sums_out_of_range_give_infinity_without_warnings(backend, make):
    block, large = make(), np.full((2, 3), 3e38, np.float32)
    out, cache = block.forward(large)
    dx, _ = block.backward(np.full_like(out, 3e38), cache)
    assert np.isinf(dx).all()
    if isinstance(block, nn.Residual):
        assert np.isinf(out).all()
        assert np.isinf(block(large)).all()


def test_blocks_of_rows(backend):
    assert nn.Residual(nn.Linear(4, 4))(normal(3, 4)).shape == (3, 4)
    assert nn.DenseBlock(nn.Linear(4, 2), nn.Linear(6, 1))(normal(3, 4)).shape == (3, 7)


def test_x_takes_the_dtype_of_the_parameters(backend):
    for block in (nn.Residual(nn.Conv2d(3, 3, 1)), nn.DenseBlock(nn.Conv2d(3, 3, 1))):
        assert block(normal(*IMAGES)).dtype == np.float32
        assert block.forward(normal(*IMAGES))[0].dtype == np.float32


def test_names_nest():
    model = nn.Sequential(
        nn.ReLU(),
        nn.Residual(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2, bias=False)), shortcut=nn.Linear(3, 2)),
        nn.DenseBlock(nn.BatchNorm1d(2)),
    )
    assert list(model.params) == [
        "1.0.weight",
        "1.0.bias",
        "1.1.0.weight",
        "1.shortcut.weight",
        "1.shortcut.bias",
        "2.0.weight",
        "2.0.bias",
    ]
    assert list(model.buffers) == ["2.0.running_mean", "2.0.running_var", "2.0.num_batches_tracked"]
    assert model.regularized == ("1.0.weight", "1.1.0.weight", "1.shortcut.weight")
    _, grads = model.loss(normal(4, 3), np.array([0, 1, 2, 3]))
    assert list(grads) == list(model.params)


def test_fused_layers_inside_are_found():
    block = nn.Residual(nn.Conv2d(3, 3, 1), nn.ReLU())
    assert [type(step.module) for step in block._body._steps] == [Fused]


def test_modes_reach_the_layers_inside():
    residual = nn.Residual(nn.Dropout(), shortcut=nn.Dropout()).eval()
    dense = nn.DenseBlock(nn.Dropout()).eval()
    assert not any(child.training for block in (residual, dense) for child in block.children())


def test_shapes_that_do_not_fit(backend):
    x = np.zeros(IMAGES, np.float32)
    with pytest.raises(ValueError, match=r"Residual: the layers give the shape \(2, 4, 4, 5\), but x has the shape"):
        nn.Residual(nn.Conv2d(3, 4, 1))(x)
    with pytest.raises(ValueError, match=r"but shortcut\(x\) has the shape \(2, 4, 4, 5\); expected equal shapes"):
        nn.Residual(nn.Conv2d(3, 1, 1), shortcut=nn.Conv2d(3, 4, 1)).forward(x)
    with pytest.raises(ValueError, match=r"DenseBlock: layer 0 gives the shape \(2, 1, 2, 3\) for x of shape"):
        nn.DenseBlock(nn.Conv2d(3, 1, 3))(x)
    with pytest.raises(ValueError, match="DenseBlock: layer 1 gives the shape"):
        nn.DenseBlock(nn.ReLU(), nn.Flatten()).forward(x)
    with pytest.raises(ValueError, match=r"x\.shape") as caught:
        nn.Sequential(nn.Residual(nn.ReLU(), shortcut=nn.Conv2d(2, 3, 1))).loss(x)
    assert caught.value.__notes__ == [
        "raised by layer shortcut, Conv2d(2, 3, 1), given x of shape (2, 3, 4, 5)",
        "raised by layer 0, Residual, given x of shape (2, 3, 4, 5)",
    ]


def test_faulty_layers():
    with pytest.raises(TypeError, match=r"Residual: layer shortcut is <class.*expected a Module"):
        nn.Residual(nn.ReLU(), shortcut=nn.ReLU)
    with pytest.raises(TypeError, match="DenseBlock: layer 0 is 3; expected a Module"):
        nn.DenseBlock(3)
    layer = nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match=r"Residual: layer shortcut is layer 0 again, Conv2d\(3, 3, 1\)"):
        nn.Residual(layer, shortcut=layer)
    norm = nn.BatchNorm2d(3, affine=False)
    with pytest.raises(ValueError, match="DenseBlock: layer 1 is layer 0 again"):
        nn.DenseBlock(norm, norm)
