"""A small model, data set and solvers, for the tests of the Solver."""

import numpy as np

from fastnn.solver import Solver

CLASSES = 3


class Model:
    """A linear softmax classifier without fastnn, with only what a Solver requires of a model."""

    def __init__(self, seed=0):
        generator = np.random.default_rng(seed)
        self.params = {"W": generator.standard_normal((4, CLASSES)), "b": np.zeros(CLASSES), "unused": np.ones((2, 2))}

    def loss(self, X, y=None):
        scores = X @ self.params["W"] + self.params["b"]
        if y is None:
            return scores
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = shifted / shifted.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean()
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        return loss, {"W": X.T @ p, "b": p.sum(axis=0), "unused": np.zeros((2, 2))}


def data(count=20, seed=1):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((count + 8, 4))
    y = np.argmax(X[:, :CLASSES] + 0.3 * generator.standard_normal((count + 8, CLASSES)), axis=1)
    return {"X_train": X[:count], "y_train": y[:count], "X_val": X[count:], "y_val": y[count:]}


def make(model=None, seed=3, parts=None, **options):
    options = {"update_rule": "adam", "batch_size": 6, "num_epochs": 4, "verbose": False, "lr_decay": 0.9, **options}
    options.setdefault("num_train_samples", 10)
    return Solver(model or Model(), parts or data(), seed=seed, **options)


def everything(solver):
    """Return all state that must be equal after two equal runs."""
    state = solver.state()
    return {**state, "params": {name: value.copy() for name, value in solver.model.params.items()}}


def assert_identical(actual, expected, where="state"):
    if isinstance(expected, dict):
        assert list(actual) == list(expected), where
        for key, value in expected.items():
            assert_identical(actual[key], value, f"{where}[{key!r}]")
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=where)


class Remembering(Model):
    """A model with buffers, on which the loss depends: one is changed in place in two steps, one replaced."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.buffers = {"mean": np.zeros(4), "count": np.array(0)}

    def loss(self, X, y=None):
        if y is not None:
            self.buffers["count"] = np.asarray(self.buffers["count"] + 1)
            self.buffers["mean"] *= 0.9
            self.buffers["mean"] += 0.1 * X.mean(axis=0)
        return super().loss(X - self.buffers["mean"], y)


def noisy(images, generator):
    """A transform that changes the images in place."""
    images += 0.1 * generator.normal(size=images.shape)
    return images[:, ::-1].copy() if generator.uniform() < 0.5 else images


def run(**options):
    """Return a solver after a whole run."""
    solver = make(**options)
    solver.train()
    return solver
