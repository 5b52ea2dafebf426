"""The cases that are timed: complete, distinct, right, and their costs as worked by hand."""

import numpy as np
import pytest

import fastnn
from fastnn.benchmarking import report
from fastnn.benchmarking.cases import CASES, HEADLINE, in_float64, select, with_images
from fastnn.benchmarking.cases.activations import Activation, Maxout
from fastnn.benchmarking.cases.affine import Affine
from fastnn.benchmarking.cases.augment import Augmentation
from fastnn.benchmarking.cases.base import normals
from fastnn.benchmarking.cases.convolution import Convolution
from fastnn.benchmarking.cases.dropout import Dropout
from fastnn.benchmarking.cases.fused import AffineSandwich, ConvolutionSandwich
from fastnn.benchmarking.cases.l2 import Norm, Penalty
from fastnn.benchmarking.cases.losses import LinearLoss, Loss
from fastnn.benchmarking.cases.normalization import BatchNorm, GroupNorm
from fastnn.benchmarking.cases.pooling import AveragePooling, MaxPooling
from fastnn.benchmarking.cases.updates import Update
from fastnn.kernels import OPERATIONS

# At (2, 2, 6, 5), three 3x3 filters, stride 2, pad 1: 2 * 3 * 3 * 3 outputs of 2 * 3 * 3 products each.
PRODUCTS = (2 * 3 * 3 * 3) * (2 * 3 * 3)

COSTS = [  # case, cost of each pass with 4 bytes an element, unit
    (Convolution((2, 2, 6, 5), 3, 3, stride=2, pad=1), (2 * PRODUCTS, 4 * PRODUCTS), "FLOP/s"),
    (MaxPooling((2, 2, 5, 4), 2, 2), (4 * (80 + 16) + 16,) * 2, "B/s"),
    (MaxPooling((2, 2, 5, 7), 3, 2), (4 * (140 + 24) + 24,) * 2, "B/s"),
    (AveragePooling((2, 2, 5, 4), 2), (4 * (80 + 16),) * 2, "B/s"),
    (AveragePooling((2, 2, 5, 4)), (4 * (80 + 4),) * 2, "B/s"),
    (Affine((3, 7), 5), (2 * 105, 4 * 105), "FLOP/s"),
    (Activation((2, 3, 4), "relu"), (4 * 48, 4 * 72), "B/s"),
    (Maxout((2, 6), 3), (4 * (12 + 4) + 4,) * 2, "B/s"),
    (BatchNorm((2, 3, 4)), (4 * 48, 4 * 72), "B/s"),
    (GroupNorm((2, 4), 2), (4 * 16, 4 * 24), "B/s"),
    (Dropout((2, 5)), (4 * 20 + 10,) * 2, "B/s"),
    (Loss((5, 4), "softmax_loss"), (4 * 40,), "B/s"),
    (Loss((5, 4), "mse_loss"), (4 * 60,), "B/s"),
    (LinearLoss((5, 7), "linear_svm_loss", 4), (4 * 5 * 7 * 4,), "FLOP/s"),
    (Update((10,), "sgd"), (4 * 30,), "B/s"),
    (Update((10,), "adam"), (4 * 70,), "B/s"),
    (Penalty((10,)), (4 * 30,), "B/s"),
    (Norm((10,)), (4 * 10,), "B/s"),
    (Augmentation((2, 3, 4, 5)), (4 * 240,), "B/s"),
    (AffineSandwich((3, 7), 5, "layernorm"), (2 * 105, 4 * 105), "FLOP/s"),
    (ConvolutionSandwich((2, 2, 6, 5), 3, 3, 1, pool=True), (2 * 180 * 18, 4 * 180 * 18), "FLOP/s"),
]


@pytest.mark.parametrize(("case", "costs", "unit"), COSTS, ids=lambda value: getattr(value, "name", None))
def test_cost_worked_by_hand(case, costs, unit):
    assert [case.cost(direction, 4) for direction in case.passes] == [(float(cost), unit) for cost in costs]


def test_every_operation_has_cases():
    assert {case.operation for case in CASES} == set(OPERATIONS)
    assert {case.operation for case in HEADLINE} == set(OPERATIONS) - {"augment"}


def test_names_are_short_and_tell_cases_apart():
    assert len({case.name for case in CASES}) == len(CASES)
    assert max(len(case.name) for case in CASES) <= 50
    assert Convolution((64, 64, 32, 32), 64, 3, stride=2, pad=1).name == "conv2d 64x64x32x32 64f3x3 s2 p1"


def test_the_convolutions_that_matter():
    """What the courses train, and shapes that are hard on register tiles."""
    shapes = [(case.x, case.filters, case.kernel, case.stride, case.pad) for case in select(["conv2d"])]
    assert shapes == [
        ((100, 3, 31, 31), 25, 3, 2, 1),
        ((50, 3, 32, 32), 32, 7, 1, 3),
        ((500, 3, 32, 32), 64, 3, 1, 1),
        ((64, 3, 32, 32), 16, 5, 1, 2),
        ((64, 16, 16, 16), 32, 3, 1, 1),
        ((64, 32, 8, 8), 64, 3, 1, 1),
        ((64, 64, 32, 32), 64, 3, 1, 1),
        ((64, 64, 32, 32), 64, 3, 2, 1),
        ((64, 64, 16, 16), 128, 1, 1, 0),
        ((64, 6, 14, 14), 16, 5, 1, 0),
        ((32, 20, 15, 15), 30, 3, 1, 1),
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_torch_agrees_with_the_reference(case):
    """The backends are compared with it by benchmarks/bench_operations.py."""
    pytest.importorskip("torch")
    tiny = case.tiny()
    for dtype in ("float32", "float64"):
        arrays = tiny.inputs(dtype)
        expected = report.reference(tiny, arrays)
        calls = report.torch_calls(tiny, arrays)
        assert set(calls) == (set() if case.operation == "augment" else set(case.passes))
        report.check(tiny, expected, report.PEER, calls, dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_results_are_found(case):
    """In every pass, in the last of what it returns; where PyTorch draws numbers of its own, only a wrong shape is."""
    tiny = case.tiny()
    expected = report.reference(tiny, tiny.inputs("float64"))
    assert tuple(expected) == tiny.passes
    for direction, right in expected.items():
        wrong = [result.astype(np.float64) for result in right]
        wrong[-1] = wrong[-1][..., None] if direction in case.random_peer else wrong[-1] + 1e-3 * np.ptp(wrong[-1]) + 1
        with pytest.raises(report.WrongResult, match=f"bench: torch computes .*, {direction}, wrongly"):
            report.check(tiny, expected, report.PEER, {direction: lambda wrong=wrong: tuple(wrong)}, "float64")


def test_a_backend_returns_everything():
    case = Affine((3, 7), 5)
    expected = report.reference(case, case.inputs("float64"))
    part = {"backward": lambda: expected["backward"][:2]}
    report.check(case, expected, report.PEER, part, "float64")
    with pytest.raises(report.WrongResult, match="lengths differ"):
        report.check(case, expected, "vectorized", part, "float64")


def test_inputs_are_the_same_every_time():
    for case in CASES:
        tiny = case.tiny()
        first, second = tiny.inputs("float32"), tiny.inputs("float32")
        for name, array in in_float64(first).items():
            np.testing.assert_array_equal(first[name], second[name])
            assert array.dtype == (np.float64 if first[name].dtype.kind == "f" else first[name].dtype)


def test_calls_leave_the_inputs_alone():
    for case in select(["updates"]):
        arrays = case.tiny().inputs("float32")
        before = {name: array.copy() for name, array in arrays.items()}
        with fastnn.use_backend("vectorized"):
            case.tiny().calls(arrays)["update"]()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, before[name])


def test_sums_of_inputs_are_exact_in_float32():
    generator = np.random.default_rng(0)
    x, w = normals(generator, (50, 1000), "float32"), normals(generator, (1000, 50), "float32")
    np.testing.assert_array_equal(x @ w, x.astype(np.float64) @ w.astype(np.float64))


def test_another_batch_is_the_same_case():
    for case in CASES:
        one = with_images(case.tiny(), 1)
        assert one.x == (1, *case.tiny().x[1:])
        assert one.function == case.function
        report.check(
            one, report.reference(one, one.inputs("float64")), "naive", one.calls(one.inputs("float64")), "float64"
        )
