"""PyTorch's side of `gpu.py`: eager calls, CUDA graphs, and images in the memory format `channels_last`."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from fastnn.benchmarking.cases import Case


def peers(case: Case, arrays: dict, tf32: bool, device: str) -> tuple[dict[str, dict], dict[str, str]]:
    """PyTorch's calls by name and pass, and the errors of those that it cannot do."""
    made, errors, ways = {}, {}, {"torch": _eager}
    if case.operation == "conv2d":
        ways |= {"torch graph": _captured} | ({"torch channels_last": _channels_last} if tf32 else {})
    for name, way in ways.items():
        try:
            made[name] = way(case, arrays, device)
        except Exception as error:  # whatever it is, the others are timed
            errors[name] = brief(error)
    return made, errors


def _eager(case: Case, arrays: dict, device: str, **layout: Any) -> dict[str, Callable[[], Any]]:
    import torch

    from_numpy = torch.from_numpy

    def placed(array: np.ndarray) -> Any:
        tensor = from_numpy(array).to(device)
        return tensor.to(**layout) if tensor.ndim == 4 else tensor

    with mock.patch.object(torch, "from_numpy", placed):
        return case.torch_calls(arrays)


def _channels_last(case: Case, arrays: dict, device: str) -> dict[str, Callable[[], Any]]:
    import torch

    return _eager(case, arrays, device, memory_format=torch.channels_last)


def _captured(case: Case, arrays: dict, device: str) -> dict[str, Callable[[], Any]]:
    import torch

    stream = torch.cuda.Stream()  # on which the graph of the backward pass is made, too
    with torch.cuda.stream(stream):
        calls = _eager(case, arrays, device)
    return {direction: graph(call, stream) for direction, call in calls.items()}


def captured_step(*arguments: Any, **options: Any) -> Callable[[], Any]:
    """`peers.torch_step` as a CUDA graph."""
    import torch
    from peers import torch_step

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step = torch_step(*arguments, **options, capturable=True)
    return graph(step, stream)


def graph(call: Callable[[], Any], stream: Any) -> Callable[[], Any]:
    """PyTorch's work as a CUDA graph, captured as in its documentation."""
    import torch

    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured, stream=stream):
        call()
    return captured.replay


@contextlib.contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """Context in which both fastnn and PyTorch may use TF32, or neither."""
    import torch

    with mock.patch.dict(os.environ, {"FASTNN_TF32": str(int(tf32))}):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True  # cuDNN times its algorithms and chooses the fastest
        yield


def brief(error: Exception) -> str:
    """The type and text of an error, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
