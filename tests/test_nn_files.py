"""Saved networks: they come back, and files that do not fit are refused."""

import numpy as np
import pytest

import fastnn
from fastnn import nn


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def convnet(seed):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, seed=seed),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Dropout(seed=seed),
        nn.Linear(64, 3, seed=seed),
    )


@pytest.mark.parametrize("name", ["net.npy", "net.npz", "net", "net.h5"])
def test_saved_networks_come_back(tmp_path, name):
    X = normal(5, 3, 6, 6)
    model, other = convnet(1), convnet(2)
    model.loss(X, np.arange(5) % 3)
    model.save(tmp_path / name)
    other.load(tmp_path / name)
    for arrays, expected in ((other.params, model.params), (other.buffers, model.buffers)):
        for key, value in expected.items():
            np.testing.assert_array_equal(arrays[key], value)
            assert arrays[key].dtype == value.dtype
    np.testing.assert_array_equal(other.loss(X), model.loss(X))
    np.testing.assert_array_equal(other(X), model(X))  # in training mode: the masks go on
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_of_parameters_alone(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3, seed=1))
    np.savez(tmp_path / "old.npz", **model.params)
    fastnn.checkpoint.save(tmp_path / "old.h5", {"params": dict(model.params)})
    for name in ("old.npz", "old.h5"):
        other = nn.Sequential(nn.Linear(2, 3, seed=2))
        other.load(tmp_path / name)
        np.testing.assert_array_equal(other.params["0.weight"], model.params["0.weight"])
        normalized = nn.Sequential(nn.Linear(2, 3, seed=2), nn.BatchNorm1d(3, affine=False))
        before = normalized.params["0.weight"].copy()
        with pytest.raises(ValueError, match=r"Sequential\.buffers: buffers lacks the key '1\.running_mean'"):
            normalized.load(tmp_path / name)
        np.testing.assert_array_equal(normalized.params["0.weight"], before)


def test_files_that_do_not_fit(tmp_path):
    nn.Sequential(nn.Linear(2, 3)).save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"'0\.weight' has shape \(2, 3\); expected \(2, 4\)"):
        nn.Sequential(nn.Linear(2, 4)).load(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"params lacks the key '1\.weight'"):
        nn.Sequential(nn.Flatten(), nn.Linear(2, 3)).load(tmp_path / "net.npz")
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(FileNotFoundError, match=r"load: name=.*missing\.npz' is no file; expected one written by save"):
        model.load(tmp_path / "missing.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "pickles.npz", a=np.array([{}], object))
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("array.npy", "pickle.npy", "pickles.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"load: name=.*{name}.* holds no named arrays"):
            model.load(tmp_path / name)
    fastnn.checkpoint.save(tmp_path / "other.h5", {"a": 1})
    with pytest.raises(ValueError, match=r"load: name=.*other\.h5.* holds \['a'\]; expected 'params'"):
        model.load(tmp_path / "other.h5")
