"""What the networks of assignment 3 share: parameters, forward and backward pass, files."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from fastnn.layers import softmax_loss
from fastnn.output.streams import say

from .devices import usable


class Step(NamedTuple):
    """A layer of a network: the names of its parameters, in the order of its arguments, and its options."""

    layer: Any
    names: Sequence[str] = ()
    options: Sequence[Any] = ()


class Network:
    """A network with softmax loss, which defines `_steps`.

    params: dict of tensors; penalised are those whose names begin with W
    reg: strength of the penalty `_PENALTY` * reg * sum(W * W)
    dtype: to which inputs are converted
    """

    _PENALTY = 1.0
    _SAVED: tuple[str, ...] = ()  # attributes that a file contains besides reg, dtype and params

    def __init__(self, reg: float, dtype: torch.dtype, device: Any) -> None:
        self.reg, self.dtype = reg, dtype
        self.params: dict[str, torch.Tensor] = {}
        self._device = usable(type(self).__name__, device)

    def loss(self, X: torch.Tensor, y: torch.Tensor | None = None) -> Any:
        """Return the scores (N, K) if y is None, else the loss and a dict of its gradients.

        X (N, d1, ..., dk); y (N,): labels
        """
        out, caches, steps = X.to(self.dtype), [], list(self._steps("test" if y is None else "train"))
        for layer, names, options in steps:
            out, cache = layer.forward(out, *(self.params[name] for name in names), *options)
            caches.append(cache)
        if y is None:
            return out
        loss, dout = softmax_loss(out, y)
        grads: dict[str, torch.Tensor] = {}
        for (layer, names, _), cache in zip(reversed(steps), reversed(caches), strict=True):
            gradients = layer.backward(dout, cache)
            dout, *others = gradients if names else (gradients,)
            grads.update(zip(names, others, strict=True))
        for name in filter(lambda name: name.startswith("W"), grads):
            weights = self.params[name]
            loss = loss + self._PENALTY * self.reg * (weights * weights).sum()
            grads[name] = grads[name] + 2 * self._PENALTY * self.reg * weights
        return loss, grads

    def save(self, path: str | os.PathLike) -> None:
        """Write parameters and settings to a file, with `torch.save`."""
        torch.save({name: getattr(self, name) for name in ("reg", "dtype", "params", *self._SAVED)}, path)
        say(f"Saved in {os.fspath(path)}")

    def load(self, path: str | os.PathLike, dtype: torch.dtype | None = None, device: Any = "cpu") -> None:
        """Read what `save` wrote, without executing anything in the file; dtype None: that of the file."""
        device = usable(f"{type(self).__name__}.load", device)
        for name, value in torch.load(path, map_location="cpu", weights_only=True).items():
            setattr(self, name, value)
        self.dtype = self.dtype if dtype is None else dtype
        self.params = _moved(self.params, self.dtype, device)
        for name in self._SAVED:
            setattr(self, name, _moved(getattr(self, name), self.dtype, device))
        say(f"load checkpoint file: {os.fspath(path)}")

    def _steps(self, mode: str) -> Iterator[Step]:
        """Yield the layers; mode: 'train' or 'test'."""
        raise NotImplementedError

    def _normal(self, name: str, std: float, *shape: int) -> None:
        """Add weights drawn from a normal distribution, and biases of 0, as parameters W and b of that name."""
        self.params[f"W{name}"] = std * torch.randn(shape, dtype=self.dtype, device=self._device)
        self._constant(f"b{name}", 0.0, shape[0] if len(shape) == 4 else shape[-1])

    def _constant(self, name: str, value: float, size: int) -> None:
        self.params[name] = torch.full((size,), value, dtype=self.dtype, device=self._device)


def _moved(value: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """Return nested dicts and lists with their tensors in that dtype, on that device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype)
    if isinstance(value, dict):
        return {key: _moved(one, dtype, device) for key, one in value.items()}
    return [_moved(one, dtype, device) for one in value] if isinstance(value, list) else value
