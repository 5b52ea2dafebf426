"""The sparse autoencoder: a network that reconstructs its input from sparsely active hidden units."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn import arguments, layers, optim, rng
from fastnn.devices import params_on_device, place
from fastnn.kernels import l2
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.layers.affine import rows
from fastnn.nn import weights_io
from fastnn.nn.named_arrays import all_fitting
from fastnn.output.streams import say
from fastnn.training import nonfinite, sampling

__all__ = ["SparseAutoencoder"]

_BOUND = 1e-12


class SparseAutoencoder:
    """Affine - sigmoid - affine - sigmoid, trained to reconstruct its input.

        J = 1/(2N) sum_n |x_n - o_n|^2 + lambd/2 (sum(W1*W1) + sum(W2*W2)) + beta sum_j KL(rho || a_j)
        KL(rho || a) = rho log(rho / a) + (1 - rho) log((1 - rho) / (1 - a))

    with o_n the output for x_n and a_j the mean activation of hidden unit j over the batch. In KL, a_j is clipped to
    [1e-12, 1 - 1e-12], outside of which the gradient is 0, so that J stays finite for a dead unit.

        model = SparseAutoencoder(256, 25, rho=0.01, beta=3, lambd=1e-4)
        costs = model.fit_lbfgs(preprocess_patches(images))

    input_dim, hidden_dim: D, H; inputs (N, d1, ..., dk) are flattened to (N, D); the sigmoid gives outputs in (0, 1)
    rho: target of the mean activations, between 0 and 1
    beta, lambd: strength of the sparsity penalty and of the weight penalty
    dtype, seed: of the parameters W1 (D, H), b1 (H,), W2 (H, D), b2 (D,), which are drawn uniformly from
        +-sqrt(6 / (D + H)) (see `fastnn.rng`)
    Raises ValueError or TypeError for arguments out of range.
    Source: Ng, Sparse autoencoder, CS294A lecture notes (2011), sections 2 and 3.
    """

    @signatures.checked
    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        rho: float,
        beta: float,
        lambd: float,
        *,
        dtype: Any = np.float64,
        seed: Any = None,
    ) -> None:
        name = "SparseAutoencoder"
        self.input_dim = validation.integer(name, "input_dim", input_dim, minimum=1)
        self.hidden_dim = validation.integer(name, "hidden_dim", hidden_dim, minimum=1)
        validation.fits(name, "hidden_dim", hidden_dim, self.input_dim * self.hidden_dim)
        self.rho = validation.number(name, "rho", rho, above=0, below=1)
        self.beta = validation.number(name, "beta", beta, minimum=0)
        self.lambd = validation.number(name, "lambd", lambd, minimum=0)
        self.dtype = arguments.dtype(name, dtype)
        source = rng.generator(seed)
        bound = math.sqrt(6 / (self.input_dim + self.hidden_dim))
        D, H = self.input_dim, self.hidden_dim
        shapes = {"W1": (D, H), "b1": (H,), "W2": (H, D), "b2": (D,)}
        self._params = {key: source.uniform(-bound, bound, shape).astype(self.dtype) for key, shape in shapes.items()}

    @property
    def params(self) -> dict[str, np.ndarray]:
        """The parameters by name: the arrays themselves, not copies.

        Assigning a dict of all parameters copies their values into the model. Raises ValueError if names or
        shapes differ.
        """
        return self._params

    @params.setter
    def params(self, values: Mapping[str, np.ndarray]) -> None:
        self._params.update(all_fitting("SparseAutoencoder.params", "params", self._params, values))

    @signatures.checked
    def encode(self, X: np.ndarray) -> np.ndarray:
        """Return the activations (N, H) of the hidden units for X (N, D)."""
        return _layer(self._rows("encode", X), self.params["W1"], self.params["b1"])[0]

    @signatures.checked
    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Return the reconstruction (N, D) of X (N, D)."""
        hidden = _layer(self._rows("reconstruct", X), self.params["W1"], self.params["b1"])[0]
        return _layer(hidden, self.params["W2"], self.params["b2"])[0]

    @signatures.checked
    def cost(self, X: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """Return J for the batch X (N, D), N at least 1, and its exact gradients by the names of `params`."""
        return self._cost(self.params, self._batch("cost", X, self.dtype))

    @signatures.checked
    def train(
        self,
        X: np.ndarray,
        num_epochs: int = 10,
        batch_size: int = 100,
        learning_rate: float = 1e-3,
        update_rule: str | Callable = "adam",
        *,
        seed: Any = None,
        verbose: bool = False,
        on_nonfinite: str = "warn",
        **hyperparameters: Any,
    ) -> list[float]:
        """Train on batches from a new permutation of X (N, D) in each epoch, without an incomplete last batch.

        num_epochs: number of epochs, at least 1
        batch_size: images in a batch
        learning_rate: of the update rule
        update_rule: a rule in `fastnn.optim`, or a function with the same arguments
        hyperparameters: the rest of its config, such as momentum=0.9
        seed: source of random numbers for the permutations (see `fastnn.rng`)
        verbose: print the mean cost of each epoch
        on_nonfinite: "warn": a cost that is not finite ends training with a RuntimeWarning, as the last one returned,
            and the parameters are those after the epoch of the lowest mean cost, or those it began with; "raise": it
            raises FloatingPointError
        Returns the cost of each batch before its update. Mean activations are taken over the batch, so small batches
        make the sparsity penalty noisy.
        Raises ValueError or TypeError for arguments out of range.
        """
        function = "SparseAutoencoder.train"
        X = self._batch("train", X, self.dtype)
        num_epochs = validation.integer(function, "num_epochs", num_epochs, minimum=1)
        verbose = validation.flag(function, "verbose", verbose)
        rule = optim.find(function, update_rule)
        hyperparameters = {"learning_rate": learning_rate, **hyperparameters}
        config = optim.checked_config(function, rule, hyperparameters, "hyperparameters")
        configs = {name: arguments.unshared(config) for name in self.params}
        sampler, source = sampling.Sampler(function, len(X), batch_size, "epoch"), rng.generator(seed)
        history: list[float] = []
        raises, best, lowest = nonfinite.raises(function, on_nonfinite), self._copies(), math.inf
        is_own = rule in optim.RULES.values()
        X, params = (place(X), self.params) if is_own else (X, {})
        try:
            with params_on_device(params):
                for epoch in range(num_epochs):
                    for batch in range(sampler.batches):
                        cost, grads = self.cost(sampling.rows(X, sampler.draw(batch, source)))
                        history.append(cost)
                        advice = f"lower learning_rate={learning_rate}, or check that X is finite"
                        _check_finite(function, cost, advice, f" in iteration {len(history)}")
                        optim.update(rule, self.params, grads, configs)
                    mean = float(np.mean(history[-sampler.batches :]))
                    if mean < lowest:
                        best, lowest = self._copies(), mean
                    if verbose:
                        say(f"(Epoch {epoch + 1} / {num_epochs}) cost: {mean:f}")
        except FloatingPointError as error:
            if raises:
                raise
            self.params = best
            nonfinite.warn(str(error))
        return history

    @signatures.checked
    def fit_lbfgs(self, X: np.ndarray, max_iterations: int = 400, verbose: bool = False) -> list[float]:
        """Minimise J over all of X (N, D) by L-BFGS in float64, for parameters of any dtype.

        max_iterations: largest number of iterations; L-BFGS stops earlier if J falls by less than 2.2e-9 of its value,
            or if no derivative exceeds 1e-5
        verbose: print every tenth cost
        Returns J at the start and after each iteration. An interruption keeps the parameters of the last iteration.
        Raises ValueError or TypeError for arguments out of range, FloatingPointError if the cost is not finite.
        Source: Zhu, Byrd, Lu & Nocedal, Algorithm 778: L-BFGS-B (1997), as in `scipy.optimize.minimize`.
        """
        from scipy.optimize import minimize

        function = "SparseAutoencoder.fit_lbfgs"
        X = place(self._batch("fit_lbfgs", X, np.dtype(np.float64)))
        max_iterations = validation.integer(function, "max_iterations", max_iterations, minimum=1)
        verbose = validation.flag(function, "verbose", verbose)
        history: list[float] = []

        def cost_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
            params = {name: arrays.on_same_device(value, X) for name, value in self._split(flat).items()}
            cost, grads = self._cost(params, X)
            _check_finite(function, cost, "check that X and the parameters are finite")
            if not history:
                history.append(cost)
            return cost, _flat({name: arrays.to_numpy(gradient) for name, gradient in grads.items()})

        def keep(intermediate_result: Any) -> None:
            self.params = self._split(intermediate_result.x)
            history.append(float(intermediate_result.fun))
            if verbose and len(history) % 10 == 1:
                say(f"(Iteration {len(history) - 1} / {max_iterations}) cost: {history[-1]:f}")

        options = {"maxiter": max_iterations, "maxfun": 100 * max_iterations}
        minimize(cost_and_slope, _flat(self.params), method="L-BFGS-B", jac=True, callback=keep, options=options)
        return history

    @signatures.checked
    def save(self, name: str) -> None:
        """Write the parameters to a file, as data only: HDF5, safetensors or npz, by the ending of the name.

        name: path
        """
        weights_io.save(name, self.params)

    @signatures.checked
    def load(self, name: str) -> None:
        """Read the parameters that `save` wrote, without executing anything in the file.

        name: path
        Raises ValueError if names or shapes differ from those of this model, or the file has another format.
        """
        self.params = weights_io.load(name)[0]

    def __repr__(self) -> str:
        return (
            f"SparseAutoencoder({self.input_dim}, {self.hidden_dim}, rho={self.rho}, beta={self.beta}, "
            f"lambd={self.lambd})"
        )

    def _cost(self, params: Mapping[str, np.ndarray], X: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        hidden, hidden_cache = _layer(X, params["W1"], params["b1"])
        out, out_cache = _layer(hidden, params["W2"], params["b2"])
        cost, dout = layers.mse_loss(out, X)
        dhidden, dW2, db2 = _layer_backward(dout, out_cache)
        sparsity, slope = _divergence(arrays.to_numpy(hidden), self.rho)
        with np.errstate(all="ignore"):
            dhidden += arrays.on_same_device((self.beta / len(X) * slope).astype(dhidden.dtype), dhidden)
        _, dW1, db1 = _layer_backward(dhidden, hidden_cache, need_dx=False)
        cost = cost + l2.weight_penalty([params["W1"], params["W2"]], [dW1, dW2], self.lambd)
        return float(arrays.to_numpy(cost)) + self.beta * sparsity, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

    def _rows(self, method: str, X: Any, dtype: np.dtype | None = None) -> np.ndarray:
        """Convert X to rows (N, D) of `dtype`, by default that of the parameters."""
        function = f"SparseAutoencoder.{method}"
        (X,) = validation.floats(function, X=(rows(function, X, "X"), f"N {self.input_dim}"))
        return arguments.real(function, "X", X, dtype or self.dtype)

    def _batch(self, method: str, X: Any, dtype: np.dtype) -> np.ndarray:
        X = self._rows(method, X, dtype)
        validation.not_empty(f"SparseAutoencoder.{method}", "X", X)
        return X

    def _copies(self) -> dict[str, np.ndarray]:
        return {name: np.array(arrays.to_numpy(value)) for name, value in self.params.items()}

    def _split(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Split a vector of all parameters into views with their shapes."""
        ends = np.cumsum([value.size for value in self.params.values()])
        parts = np.split(flat, ends[:-1])
        return {name: part.reshape(self.params[name].shape) for name, part in zip(self.params, parts, strict=True)}


def _flat(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([value.ravel() for value in arrays.values()]).astype(np.float64, copy=False)


def _layer(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, tuple]:
    """Return sigmoid(x @ w + b), and the cache for `_layer_backward`."""
    affine, affine_cache = layers.affine_forward(x, w, b)
    out, sigmoid_cache = layers.sigmoid_forward(affine)
    return out, (affine_cache, sigmoid_cache)


def _layer_backward(dout: np.ndarray, cache: tuple, need_dx: bool = True) -> tuple:
    affine_cache, sigmoid_cache = cache
    return layers.affine_backward(layers.sigmoid_backward(dout, sigmoid_cache), affine_cache, need_dx)


@signatures.quiet
def _divergence(hidden: np.ndarray, rho: float) -> tuple[float, np.ndarray]:
    """sum_j KL(rho || a_j) with a_j the mean of column j of hidden (N, H), and its derivatives (H,)."""
    mean = hidden.mean(axis=0, dtype=np.float64)
    inside = np.clip(mean, _BOUND, 1 - _BOUND)
    divergence = rho * np.log(rho / inside) + (1 - rho) * np.log((1 - rho) / (1 - inside))
    slope = np.where(mean == inside, (1 - rho) / (1 - inside) - rho / inside, 0.0)
    return float(divergence.sum()), slope


def _check_finite(function: str, cost: float, advice: str, where: str = "") -> None:
    if not math.isfinite(cost):
        raise FloatingPointError(f"{function}: cost = {cost}{where}; expected a finite number; {advice}")
