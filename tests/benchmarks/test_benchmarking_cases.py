"""The benchmark cases: complete, distinct and right, with costs computed by hand."""

import numpy as np
import pytest
from small_cases import case_of

import fastnn
from fastnn.benchmarking import report
from fastnn.benchmarking.cases import CASES, HEADLINE, in_float64, select, with_images
from fastnn.kernels import OPERATIONS
from fastnn.kernels.updates.rules import RULES

# At (2, 2, 6, 5), three 3x3 filters, stride 2, pad 1: 2 * 3 * 3 * 3 outputs of 2 * 3 * 3 products each.
PRODUCTS = (2 * 3 * 3 * 3) * (2 * 3 * 3)

COSTS = [  # case, cost of each pass with 4 bytes an element, unit
    (case_of("conv2d", (2, 2, 6, 5), F=3, kernel=3, stride=2, pad=1), (2 * PRODUCTS, 4 * PRODUCTS), "FLOP/s"),
    (case_of("max_pool2d", (2, 2, 5, 4), kernel=2, stride=2), (4 * (80 + 16) + 16,) * 2, "B/s"),
    (case_of("max_pool2d", (2, 2, 5, 7), kernel=3, stride=2), (4 * (140 + 24) + 24,) * 2, "B/s"),
    (case_of("avg_pool2d", (2, 2, 5, 4), kernel=2, stride=2), (4 * (80 + 16),) * 2, "B/s"),
    (case_of("global_avg_pool2d", (2, 2, 5, 4)), (4 * (80 + 4),) * 2, "B/s"),
    (case_of("affine", (3, 7), M=5), (2 * 105, 4 * 105), "FLOP/s"),
    (case_of("relu", (2, 3, 4)), (4 * 48, 4 * 72), "B/s"),
    (case_of("maxout", (2, 6), pieces=3), (4 * (12 + 4) + 4,) * 2, "B/s"),
    (case_of("batchnorm", (2, 3, 4)), (4 * 48, 4 * 72), "B/s"),
    (case_of("groupnorm", (2, 4), groups=2), (4 * 16, 4 * 24), "B/s"),
    (case_of("dropout", (2, 5)), (4 * 20 + 10,) * 2, "B/s"),
    (case_of("softmax_loss", (5, 4)), (4 * 40,), "B/s"),
    (case_of("mse_loss", (5, 4)), (4 * 60,), "B/s"),
    (case_of("linear_svm_loss", (5, 7), K=4), (4 * 5 * 7 * 4,), "FLOP/s"),
    (case_of("sgd_update", (10,)), (4 * 30,), "B/s"),
    (case_of("adam_update", (10,)), (4 * 70,), "B/s"),
    (case_of("weight_penalty", (10,)), (4 * 30,), "B/s"),
    (case_of("squared_distances", (3, 7), M=5), (2 * 105,), "FLOP/s"),
    (case_of("nearest_neighbors", (3, 7), M=5, k=2), (2 * 105,), "FLOP/s"),
    (case_of("global_norm", (10,)), (4 * 10,), "B/s"),
    (case_of("augment_images", (2, 3, 4, 5)), (4 * 240,), "B/s"),
    (case_of("affine_layernorm_relu", (3, 7), M=5), (2 * 105, 4 * 105), "FLOP/s"),
    (
        case_of("conv2d_relu_pool", (2, 2, 6, 5), F=3, kernel=3, pad=1, pool_size=2, pool_stride=2),
        (2 * 180 * 18, 4 * 180 * 18),
        "FLOP/s",
    ),
]


@pytest.mark.parametrize(("case", "costs", "unit"), COSTS, ids=lambda value: getattr(value, "name", None))
def test_cost_worked_by_hand(case, costs, unit):
    assert [case.cost(direction, 4) for direction in case.passes] == [(float(cost), unit) for cost in costs]


def test_every_operation_has_cases():
    assert {case.operation for case in CASES} == set(OPERATIONS)
    assert {case.operation for case in HEADLINE} == set(OPERATIONS) - {"augment"}


def test_names_are_short_and_distinct():
    assert len({case.name for case in CASES}) == len(CASES)
    assert max(len(case.name) for case in CASES) <= 50
    assert (
        case_of("conv2d", (64, 64, 32, 32), F=64, kernel=3, stride=2, pad=1).name == "conv2d 64x64x32x32 64f3x3 s2 p1"
    )


def test_the_convolutions_that_matter():
    """Shapes of the courses' networks, and shapes that do not fit register tiles."""
    assert [case.name.removeprefix("conv2d ") for case in select(["conv2d"])] == [
        "100x3x31x31 25f3x3 s2 p1",
        "50x3x32x32 32f7x7 p3",
        "500x3x32x32 64f3x3 p1",
        "64x3x32x32 16f5x5 p2",
        "64x16x16x16 32f3x3 p1",
        "64x32x16x16 64f3x3 p2 d2",
        "64x32x8x8 64f3x3 p1",
        "64x64x32x32 64f3x3 p1",
        "64x64x32x32 64f3x3 s2 p1",
        "64x64x16x16 128f1x1 p0",
        "64x6x14x14 16f5x5 p0",
        "32x20x15x15 30f3x3 p1",
    ]


def lacks_peer(case):
    """Whether PyTorch has no equivalent."""
    return case.operation == "augment" or case.function in [rule.kernel for rule in RULES.values() if not rule.torch]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_torch_agrees_with_the_reference(case):
    """benchmarks/bench_operations.py compares the backends with the reference."""
    pytest.importorskip("torch")
    tiny = case.tiny()
    for dtype in ("float32", "float64"):
        arrays = tiny.inputs(dtype)
        expected = report.reference(tiny, arrays)
        calls = report.torch_calls(tiny, arrays)
        assert set(calls) == (set() if lacks_peer(case) else set(case.passes))
        report.check(tiny, expected, report.PEER, calls, dtype)


@pytest.mark.parametrize("case", select(["distances"]), ids=lambda case: case.name)
def test_scikit_learn_agrees_with_the_reference(case):
    pytest.importorskip("sklearn")
    tiny = case.tiny()
    for dtype in ("float32", "float64"):
        arrays = tiny.inputs(dtype)
        calls = report.peer_calls(tiny, arrays)["sklearn"]
        assert set(calls) == {"forward"}
        report.check(tiny, report.reference(tiny, arrays), "sklearn", calls, dtype)


def test_only_distances_have_an_equivalent_in_scikit_learn():
    assert {case.operation for case in CASES if case.timed.sklearn} == {"distances"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_results_are_found(case):
    """In the last result of every pass; if PyTorch draws random numbers, only a wrong shape is found."""
    tiny = case.tiny()
    expected = report.reference(tiny, tiny.inputs("float64"))
    assert tuple(expected) == tiny.passes
    for direction, right in expected.items():
        wrong = [result.astype(np.float64) for result in right]
        wrong[-1] = wrong[-1][..., None] if direction in case.random_peer else wrong[-1] + 1e-3 * np.ptp(wrong[-1]) + 1
        with pytest.raises(report.WrongResult, match=f"bench: torch computes .*, {direction}, wrongly"):
            report.check(tiny, expected, report.PEER, {direction: lambda wrong=wrong: tuple(wrong)}, "float64")


def test_a_backend_returns_everything():
    case = case_of("affine", (3, 7), M=5)
    expected = report.reference(case, case.inputs("float64"))
    part = {"backward": lambda: expected["backward"][:2]}
    report.check(case, expected, report.PEER, part, "float64")
    with pytest.raises(report.WrongResult, match="lengths differ"):
        report.check(case, expected, "vectorized", part, "float64")


def test_inputs_are_the_same_every_time():
    for case in CASES:
        tiny = case.tiny()
        first, second = tiny.inputs("float32"), tiny.inputs("float32")
        assert first.keys() == second.keys()
        for name, value in in_float64(first).items():
            np.testing.assert_array_equal(first[name], second[name])
            if isinstance(value, np.ndarray):
                assert value.dtype == (np.float64 if first[name].dtype.kind == "f" else first[name].dtype)


@pytest.mark.parametrize("operation", ["updates", "l2"])
def test_calls_leave_the_inputs_alone(operation):
    for case in select([operation]):
        arguments = case.tiny().inputs("float32")
        before = {name: np.copy(value) for name, value in arguments.items()}
        with fastnn.use_backend("vectorized"):
            for call in case.tiny().calls(arguments).values():
                call()
        for name, value in arguments.items():
            np.testing.assert_array_equal(value, before[name])


def test_sums_of_inputs_are_exact_in_float32():
    arguments = case_of("affine", (50, 1000), M=50).inputs("float32")
    x, w = arguments["x"], arguments["w"]
    np.testing.assert_array_equal(x @ w, x.astype(np.float64) @ w.astype(np.float64))


def test_another_batch_is_the_same_case():
    for case in CASES:
        one = with_images(case.tiny(), 1)
        assert one.x == (1, *case.tiny().x[1:])
        assert one.function == case.function
        report.check(
            one, report.reference(one, one.inputs("float64")), "naive", one.calls(one.inputs("float64")), "float64"
        )
