"""Ctrl-C while a kernel is compiled or a variant is imported comes after it."""

import importlib
import signal

import pytest
from numba.core import event

from fastnn.kernels.cpu import compiling
from fastnn.kernels.dispatch import interrupts, switch


class Interrupting(event.Listener):
    """Sends the signal of Ctrl-C as soon as Numba begins to compile."""

    def on_start(self, event):
        signal.raise_signal(signal.SIGINT)

    def on_end(self, event):
        pass


def test_an_interrupted_kernel_is_whole():
    def plus_one(x):
        return x + 1.0

    kernel = compiling.uncached(plus_one)
    listener = Interrupting()
    event.register("numba:compile", listener)
    try:
        with pytest.raises(KeyboardInterrupt):
            kernel(2.0)
    finally:
        event.unregister("numba:compile", listener)
    assert len(kernel.overloads) == 1
    assert kernel(2.0) == 3.0


def test_an_interrupted_import_is_whole(monkeypatch):
    imported = importlib.import_module

    def interrupted(name):
        if name.endswith(".njit"):
            signal.raise_signal(signal.SIGINT)
            done.append(name)
        return imported(name)

    done = []
    monkeypatch.setattr(switch.importlib, "import_module", interrupted)
    with pytest.raises(KeyboardInterrupt):
        switch._load("fastnn.kernels.affine", "njit")
    assert done == ["fastnn.kernels.affine.njit"]


def test_one_interrupt_comes_at_the_end_of_the_block():
    @interrupts.delayed()
    def twice():
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
            seen.append(1)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        twice()
    assert seen == [1, 1]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
