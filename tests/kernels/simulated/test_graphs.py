"""Captured graphs as on a GPU: failing captures, memory, streams, several devices."""

import functools
import gc

import numpy as np
import pytest
from numba import cuda

from fastnn import nn
from fastnn.kernels import affine, conv2d, losses, updates
from fastnn.kernels.gpu import graphs, multi_tensor, products, tracing
from fastnn.kernels.gpu.launch import kernel
from fastnn.kernels.gpu.memory import to_device, to_host, xp
from fastnn.solver import Solver

WIDE = 600  # numbers of an image, so that activations take several blocks of memory


@kernel
def _add(count, number, x, out):
    i = cuda.grid(1)
    if i < count:
        out[i] = x[i] + number


def trained(*layers, **options):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, WIDE)).astype(np.float32), rng.integers(0, 3, 12)
    model = nn.Sequential(nn.Linear(WIDE, 8, seed=0), *layers, nn.Linear(8, 3, seed=1))
    data = {"X_train": X, "y_train": y, "X_val": X[:2], "y_val": y[:2]}
    settings = {"batch_size": 4, "num_epochs": 3, "num_train_samples": 2, "verbose": False, "seed": 1, **options}
    solver = Solver(model, data, **settings)
    solver.train()
    return solver


def device_bytes():
    """Return the bytes of the device that belong to a pool, whether or not it still exists."""
    multi_tensor._table.cache_clear()
    gc.collect()
    free, capacity = xp.cuda.runtime.memGetInfo()
    return capacity - free


# ---- failing captures ----


def test_a_failing_capture_names_its_cause_and_leaves_the_stream_as_it_was():
    x, out = to_device(np.ones(3)), to_device(np.zeros(3))

    def waiting():
        _add(3, 3, np.float64(1), x, out)
        x.get()

    with graphs.CaptureStream():
        with pytest.raises(
            graphs.CaptureFailed, match=r"^CUDARuntimeError: cudaErrorStreamCaptureUnsupported"
        ) as caught:
            graphs.capture(waiting)
        assert caught.value.__cause__.status == 900
        with pytest.raises(graphs.CaptureFailed, match=r"^KeyError: 'x'$"):
            graphs.capture(lambda: {}["x"])
        assert not xp.cuda.get_current_stream().is_capturing()
        replay = graphs.capture(lambda: _add(3, 3, np.float64(1), x, out))
        assert to_host(out).tolist() == [0, 0, 0]
        replay()
    assert to_host(out).tolist() == [2, 2, 2]


def test_an_interrupted_capture_stays_interrupted():
    def interrupted():
        raise KeyboardInterrupt

    with graphs.CaptureStream():
        with pytest.raises(KeyboardInterrupt):
            graphs.capture(interrupted)
        graphs.capture(lambda: None)


def test_the_default_stream_captures_nothing():
    with pytest.raises(graphs.CaptureFailed, match=r"cannot capture on the default \(legacy\) stream"):
        graphs.capture(lambda: None)


class Looking(nn.Module):
    """A custom layer that waits for the GPU without a copy that fastnn would count."""

    resident = True

    def forward(self, x):
        if not bool((x == x).all()):
            raise ValueError("NaN")
        return x, None

    def backward(self, dout, cache, need_dx=True):
        return dout, {}


def test_training_goes_on_when_a_capture_fails_and_says_why_once(capsys):
    solver = trained(Looking(), verbose=True, print_every=1)
    said = [line for line in capsys.readouterr().out.splitlines() if "individually" in line]
    assert len(said) == 1 and "capturing one failed (CUDARuntimeError: cudaErrorStreamCaptureUnsupported" in said[0]
    assert solver.loss_history == trained(Looking(), callbacks=[lambda solver: None]).loss_history


# ---- memory and streams ----


def test_a_recorded_solver_gives_its_memory_back():
    """CuPy's pools keep what they hold when they are dropped."""
    assert trained()._graph_training.reason is None
    before, finished = device_bytes(), []
    for _ in range(3):
        finished.append(trained())
        assert finished[-1]._graph_training.reason is None
        assert device_bytes() == before


def test_solvers_share_a_stream_and_its_arena():
    trained()
    before, streams = device_bytes(), [*graphs._idle[0]]
    trained()
    assert device_bytes() == before
    assert graphs._idle[0] == streams


def test_a_graph_frees_its_memory_after_its_arrays():
    """Or with the next capture, if arrays live longer than the graph."""
    kept = []

    def work():
        kept.append(xp.zeros(1000))

    before = device_bytes()
    with graphs.CaptureStream():
        replay = graphs.capture(work)
        replay()
        assert device_bytes() > before
        del replay
        assert device_bytes() > before
        kept.clear()
        graphs.capture(lambda: None)
    assert device_bytes() == before


def test_a_graph_keeps_the_cached_tables_that_it_reads():
    out = to_device(np.zeros(4, np.int32))

    def work():
        out[...] = products.steps(4, 9)

    products.steps(4, 9)
    with graphs.CaptureStream():
        replay = graphs.capture(work)
        products.steps.cache_clear()
        gc.collect()
        others = [xp.zeros(4, np.int32) for _ in range(5)]
        replay()
    assert to_host(out).tolist() == [0, 9, 18, 27]
    assert len(others) == 5


def test_memory_of_a_graph_is_its_own():
    """An array made during a replay's lifetime does not get the memory that the graph computes in."""
    x, out = to_device(np.ones(100)), to_device(np.zeros(100))

    def work():
        between = xp.empty(100)
        _add(100, 100, np.float64(1), x, between)
        _add(100, 100, np.float64(1), between, out)

    with graphs.CaptureStream():
        replay = graphs.capture(work)
        others = [xp.zeros(100) for _ in range(5)]
        replay()
    assert to_host(out).tolist() == [3] * 100
    assert not any(to_host(other).any() for other in others)


# ---- traces ----


@pytest.mark.parametrize("number", [np.float32(np.nan), np.float64(np.nan), np.float32(-np.inf)])
def test_a_nan_argument_is_the_same_in_every_trace(number):
    x = to_device(np.ones(3, number.dtype))
    numbers = number, np.array(number)[()]  # two objects: a tuple takes a NaN as equal to itself
    first, second = (tracing.trace(functools.partial(_add, 3, 3, one, x, x)) for one in numbers)
    assert first.reason(second) is None


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1.0, 2.0), (np.nan, 1.0)])
def test_other_bits_are_another_argument(one, other):
    x = to_device(np.ones(3))
    first, second = (tracing.trace(functools.partial(_add, 3, 3, np.float64(number), x, x)) for number in (one, other))
    assert "the kernel" in first.reason(second)


# ---- several devices ----


def test_every_kernel_is_loaded_for_each_device(monkeypatch):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(size) for size in ((2, 1, 4, 4), (2, 1, 3, 3), (2,)))
    flat, weights, y = rng.standard_normal((3, 5)), rng.standard_normal((5, 4)), np.array([0, 3, 1], np.int16)
    loaded = []
    monkeypatch.setattr(
        type(_add), "_load", lambda self, signature: loaded.append(xp.cuda.Device().id) or self._simulated
    )
    results = []
    for device in (0, 1):
        with xp.cuda.Device(device):
            on_gpu = [*map(to_device, (x, w, b, flat, weights))]
            state = [to_device(np.ones(5)) for _ in range(2)]
            scores = affine.affine_forward(on_gpu[3], on_gpu[4], to_device(np.zeros(4)))
            out = conv2d.conv2d_forward(*on_gpu[:3], (1, 1), (1, 1))
            results.append([scores, out, *conv2d.conv2d_backward(out, *on_gpu[:2], (1, 1), (1, 1))])
            results[-1] += losses.softmax_loss(scores, to_device(y))
            updates.sgd_update(*state, state[0], 0.5)
            results[-1].append(state[0])
            assert {result.device.id for result in results[-1]} == {device}
            results[-1] = [*map(to_host, results[-1])]
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert 1 in loaded


def test_training_on_a_second_device():
    first = trained()
    with xp.cuda.Device(1):
        second = trained()
    assert second._graph_training.reason is None
    assert first.loss_history == second.loss_history


def test_a_kernel_takes_arrays_of_its_own_device_only():
    x = to_device(np.ones(3))
    with xp.cuda.Device(1), pytest.raises(ValueError, match="an array is on device 0, but the current device is 1"):
        _add(3, 3, np.float64(1), x, x)
    with pytest.raises(ValueError, match=r"an array with strides \(8, 24\) is not C-contiguous"):
        _add(9, 9, np.float64(1), to_device(np.ones((3, 3))).transpose(1, 0), x)
