"""ITE4052: the names of its notebooks."""

import importlib

import pytest

pytest.importorskip("torch", reason="the course computes on tensors of torch")

from fastnn.courses import eecs598, ite4052
from fastnn.courses.eecs598 import a2_helpers


def test_the_package():
    assert ite4052.data.preprocess_cifar10 is eecs598.data.preprocess_cifar10
    assert ite4052.grad.grad_check_sparse is eecs598.grad.grad_check_sparse
    assert ite4052.grad.compute_numeric_gradient is eecs598.grad.compute_numeric_gradient
    assert ite4052.reset_seed is eecs598.reset_seed


def test_its_helpers_are_those_of_the_other_course(capsys):
    helpers = ite4052.a3_helpers
    for name in ("get_toy_data", "plot_acc_curves", "plot_stats", "show_net_weights"):
        assert getattr(helpers, name) is getattr(a2_helpers, name)
    helpers.hello_helper()
    assert capsys.readouterr().out == "Hello from a3_helpers.py!\n"


@pytest.mark.parametrize("module", ["data", "grad", "linear_classifier", "two_layer_net", "utils"])
def test_modules_have_the_names_of_the_other_course(module):
    ours, other = (importlib.import_module(f"fastnn.courses.{course}.{module}") for course in ("ite4052", "eecs598"))
    assert ours.__all__ == other.__all__
    assert all(getattr(ours, name) is getattr(other, name) for name in other.__all__)
