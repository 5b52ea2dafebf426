"""Tests of the backend switch: precedence, threads, and errors for unknown or unavailable backends."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.kernels import conv2d, fused
from fastnn.kernels.dispatch import switch
from fastnn.testing import assert_same

OTHER = {"naive": "vectorized", "vectorized": "naive"}


# ---- precedence ----


def test_default_is_njit(monkeypatch):
    monkeypatch.setattr(switch, "_reason", lambda name: None)
    assert fastnn.get_backend() == "njit"


def test_empty_variable_means_default(monkeypatch):
    monkeypatch.setattr(switch, "_reason", lambda name: None)
    monkeypatch.setenv("FASTNN_BACKEND", "")
    assert fastnn.get_backend() == "njit"


def test_environment_is_read_at_the_first_dispatch_and_only_then(monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "vectorized")
    assert fastnn.get_backend() == "vectorized"
    monkeypatch.setenv("FASTNN_BACKEND", "naive")
    assert fastnn.get_backend() == "vectorized"


@pytest.mark.parametrize("first", ["naive", "vectorized"])
def test_context_before_set_before_environment(monkeypatch, first):
    monkeypatch.setenv("FASTNN_BACKEND", first)
    assert fastnn.get_backend() == first
    fastnn.set_backend(OTHER[first])
    assert fastnn.get_backend() == OTHER[first]
    with fastnn.use_backend(first):
        assert fastnn.get_backend() == first
        fastnn.set_backend(OTHER[first])
        assert fastnn.get_backend() == first
    assert fastnn.get_backend() == OTHER[first]


def test_use_backend_nests():
    fastnn.set_backend("naive")
    with fastnn.use_backend("vectorized"):
        with fastnn.use_backend("naive"):
            assert fastnn.get_backend() == "naive"
        assert fastnn.get_backend() == "vectorized"
    assert fastnn.get_backend() == "naive"


def test_use_backend_as_decorator():
    @fastnn.use_backend("vectorized")
    def inside(value, *, scale):
        """Documented."""
        return fastnn.get_backend(), value * scale

    fastnn.set_backend("naive")
    assert inside(2, scale=3) == ("vectorized", 6)
    assert inside(4, scale=1) == ("vectorized", 4)
    assert fastnn.get_backend() == "naive"
    assert inside.__name__ == "inside"
    assert inside.__doc__ == "Documented."


def test_use_backend_ends_with_an_exception():
    fastnn.set_backend("naive")
    with pytest.raises(KeyError, match="mine"), fastnn.use_backend("vectorized"):
        raise KeyError("mine")
    assert fastnn.get_backend() == "naive"


def test_the_chosen_variant_is_the_one_that_runs(monkeypatch):
    from fastnn.kernels.conv2d import naive, vectorized

    for name, module in (("naive", naive), ("vectorized", vectorized)):
        monkeypatch.setattr(module, "conv2d_forward", lambda *_, name=name: name)
    x, w, b = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.ones(1)
    for name in ("naive", "vectorized", "naive"):
        with fastnn.use_backend(name):
            assert conv2d.conv2d_forward(x, w, b) == name


# ---- threads ----


def test_a_thread_does_not_inherit_use_backend():
    fastnn.set_backend("naive")
    with ThreadPoolExecutor(1) as pool, fastnn.use_backend("vectorized"):
        assert pool.submit(fastnn.get_backend).result() == "naive"
        assert fastnn.get_backend() == "vectorized"


def test_set_backend_is_seen_by_all_threads():
    fastnn.set_backend("naive")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fastnn.get_backend).result() == "naive"
        pool.submit(fastnn.set_backend, "vectorized").result()
        assert fastnn.get_backend() == "vectorized"


def test_two_threads_use_different_backends_at_once():
    both_inside = threading.Barrier(2, timeout=30)

    def inside(name):
        with fastnn.use_backend(name):
            both_inside.wait()
            seen = fastnn.get_backend()
            both_inside.wait()
        return seen

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(inside, ["naive", "vectorized"])) == ["naive", "vectorized"]


def test_reading_the_environment_does_not_undo_set_backend(monkeypatch):
    resolve = switch._resolve

    def interrupted(name, origin):
        if origin != "set_backend":
            fastnn.set_backend("naive")  # as another thread may do while this one imports numba
        return resolve(name, origin)

    monkeypatch.setenv("FASTNN_BACKEND", "vectorized")
    monkeypatch.setattr(switch, "_resolve", interrupted)
    fastnn.get_backend()
    assert fastnn.get_backend() == "naive"


# ---- auto, unknown, unavailable ----


@pytest.mark.parametrize(
    ("reason", "simulated", "expected"),
    [(None, False, "cuda"), (None, True, "njit"), (("no GPU", "buy one"), False, "njit")],
)
def test_auto_is_cuda_if_there_is_a_gpu_else_njit(monkeypatch, reason, simulated, expected):
    availability = pytest.importorskip("fastnn.kernels.gpu.availability", reason="the backend cuda needs numba")
    monkeypatch.setattr(availability, "SIMULATED", simulated)
    monkeypatch.setattr("fastnn.kernels.gpu.device.register", lambda: None)  # registers CuPy, which is not installed
    monkeypatch.setattr(switch, "_reason", lambda name: reason if name == "cuda" else None)
    monkeypatch.setenv("FASTNN_BACKEND", "auto")
    assert fastnn.get_backend() == expected
    fastnn.set_backend("auto")
    assert fastnn.get_backend() == expected
    with fastnn.use_backend("auto"):
        assert fastnn.get_backend() == expected


def test_auto_raises_if_njit_is_unavailable(monkeypatch):
    monkeypatch.setattr(switch, "_reason", lambda name: ("it is broken", "repair it"))
    with pytest.raises(fastnn.BackendUnavailable, match=r"set_backend: backend='njit' cannot run here: it is broken"):
        fastnn.set_backend("auto")


def choose(origin, name, monkeypatch):
    if origin == "set_backend":
        fastnn.set_backend(name)
    elif origin == "use_backend":
        with fastnn.use_backend(name):
            pass
    else:
        monkeypatch.setenv("FASTNN_BACKEND", name)
        fastnn.get_backend()


ORIGINS = ("set_backend", "use_backend", "the environment variable FASTNN_BACKEND")


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(
    ("name", "closing"),
    [("nijt", "; did you mean 'njit'?"), ("NumPy vectorised", ""), ("qqq", "; use one of these"), ("CUDA", "")],
)
def test_unknown_name(monkeypatch, origin, name, closing):
    message = f"{origin}: backend={name!r} is unknown; expected one of 'naive', 'vectorized', 'njit', 'cuda', 'auto'"
    with pytest.raises(ValueError, match="^" + re.escape(message + closing)):
        choose(origin, name, monkeypatch)


@pytest.mark.parametrize("name", [None, 1, "", ["njit"], ("njit",), {"njit": 1}])
@pytest.mark.parametrize("origin", ORIGINS[:2])
def test_invalid_name(monkeypatch, origin, name):
    message = f"{origin}: backend={name!r} is unknown; expected one of 'naive', 'vectorized', 'njit', 'cuda', 'auto'"
    with pytest.raises(ValueError if isinstance(name, str) else TypeError, match="^" + re.escape(message)):
        choose(origin, name, monkeypatch)


@pytest.mark.parametrize("origin", ORIGINS)
def test_unavailable_backend_names_cause_and_remedy(monkeypatch, origin):
    cause = ImportError("no module named that")
    monkeypatch.setattr(switch, "_import_error", lambda name: cause if name in ("njit", "cuda") else None)
    monkeypatch.setattr(switch, "_reason", switch._reason.__wrapped__)
    message = (
        f"{origin}: backend='njit' cannot run here: importing numba failed (no module named that); "
        f"install it with: pip install numba"
    )
    with pytest.raises(fastnn.BackendUnavailable, match=f"^{re.escape(message)}$") as caught:
        choose(origin, "njit", monkeypatch)
    assert caught.value.__cause__ is cause
    assert isinstance(caught.value, RuntimeError)


def test_an_unavailable_default_is_not_blamed_on_the_environment(monkeypatch):
    monkeypatch.setattr(switch, "_reason", lambda name: ("it is broken", "repair it"))
    message = "the default: backend='njit' cannot run here: it is broken; repair it"
    with pytest.raises(fastnn.BackendUnavailable, match=f"^{re.escape(message)}$"):
        fastnn.get_backend()


@pytest.mark.parametrize("bad", ["nonsense", "njit"])
def test_failed_set_backend_keeps_the_previous_backend(monkeypatch, bad):
    fastnn.set_backend("naive")
    monkeypatch.setattr(switch, "_reason", lambda name: ("it is broken", "repair it"))
    with pytest.raises((ValueError, fastnn.BackendUnavailable), match="set_backend"):
        fastnn.set_backend(bad)
    assert fastnn.get_backend() == "naive"


@pytest.mark.parametrize("bad", ["nonsense", "njit"])
def test_failed_use_backend_keeps_the_previous_backend(monkeypatch, bad):
    fastnn.set_backend("naive")
    monkeypatch.setattr(switch, "_reason", lambda name: ("it is broken", "repair it"))
    with pytest.raises((ValueError, fastnn.BackendUnavailable), match="use_backend"), fastnn.use_backend(bad):
        pass
    assert fastnn.get_backend() == "naive"


def test_an_invalid_environment_variable_is_read_again(monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "nonsense")
    for _ in range(2):
        with pytest.raises(ValueError, match="backend='nonsense' is unknown"):
            fastnn.get_backend()
    monkeypatch.setenv("FASTNN_BACKEND", "naive")
    assert fastnn.get_backend() == "naive"


def test_nothing_falls_back(monkeypatch):
    device = pytest.importorskip("fastnn.kernels.gpu.device", reason="the backend cuda needs numba")
    monkeypatch.setattr(device, "register", lambda: None)  # registers CuPy, which is not installed
    monkeypatch.setattr(switch, "_reason", lambda name: None)
    monkeypatch.setattr(switch, "_has_variant", lambda operation, backend: backend in ("naive", "vectorized"))
    variant = switch.operation("fastnn.kernels.conv2d")
    message = (
        "conv2d: backend='cuda' has no kernels for this operation; expected 'naive' or 'vectorized', and nothing falls "
        "back to another one; call it under use_backend('vectorized')"
    )
    with (
        fastnn.use_backend("cuda"),
        pytest.raises(NotImplementedError, match=f"^{re.escape(message)}$"),
    ):
        variant()


def test_backends_lists_all_with_reason_and_remedy(monkeypatch):
    monkeypatch.setattr(switch, "_reason", lambda name: ("it is broken", "repair it") if name == "cuda" else None)
    lines = fastnn.backends()
    assert [line.name for line in lines] == ["naive", "vectorized", "njit", "cuda"]
    assert [line.available for line in lines] == [True, True, True, False]
    assert lines[0] == ("naive", True, "", "", "")
    assert lines[3] == ("cuda", False, "it is broken", "repair it", "")


# ---- caches of one backend on another ----

WITH_FUSED = [name for name in AVAILABLE if switch._has_variant("fused", name)]


@pytest.mark.parametrize("backward", WITH_FUSED)
@pytest.mark.parametrize("forward", WITH_FUSED)
def test_the_backward_pass_accepts_the_cache_of_another_backend(forward, backward):
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(3, 2, 6, 7)), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4)
    dout = rng.normal(size=(3, 4, 3, 3))
    results = []
    for first, second in ((forward, backward), ("naive", "naive")):
        with fastnn.use_backend(first):
            out, index = fused.conv2d_relu_pool_forward(x, w, b, 1, 1, 2, 2)
        with fastnn.use_backend(second):
            results.append((out, index, *fused.conv2d_relu_pool_backward(dout, x, w, index, 1, 1, 2, 2)))
    assert results[0][1].dtype == results[1][1].dtype
    assert_same(*results, terms=100)
