"""`check_kernel` on right kernels: the cases it draws, the kernels it accepts, its reports."""

import importlib
import re

import faulty_kernels
import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.kernels import Unsupported, affine, conv2d, pool2d
from fastnn.testing import WrongKernel, check_kernel
from fastnn.testing.conformance import cases, strategies
from fastnn.testing.conformance.compare import Fault
from fastnn.testing.conformance.shrinking import smallest
from fastnn.testing.conformance.specs import FUNCTIONS

ENDINGS = (
    "_forward",
    "_inference",
    "_backward",
    "_alt",
    "_loss",
    "_update",
    "_images",
    "_penalty",
    "_norm",
    "_distances",
    "_neighbors",
)
SOME = 60


def drawn(name, dtype="float64", seed=0):
    return list(cases.drawn(FUNCTIONS[name], dtype, {}, seed, SOME))


def test_every_public_kernel_is_checked():
    public = {
        name
        for operation in kernels.OPERATIONS
        for name in vars(importlib.import_module(f"fastnn.kernels.{operation}"))
        if name.endswith(ENDINGS) and not name.startswith("_")
    }
    assert public == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_cases_of_every_kind(name):
    function, made = FUNCTIONS[name], drawn(name)
    assert len(made) > 0.8 * SOME
    for case in made:
        assert list(case.arguments) == list(function.parameters)
        assert set(case.expected) == {*function.results, *function.written}
    values = {case.plan["values"] for case in made}
    assert values >= {"normal", "nan", "infinity", *([] if function.moves_ties else ["ties"])}
    assert {case.plan["layout"] for case in made} == {"C", "F", "strided", "reversed"}
    statistics = "batchnorm" in name and "inference" not in name  # undefined for an empty batch
    assert any(case.plan["N"] == 0 for case in made) == (not statistics)
    assert cases.make(function, strategies.large(function, "float32", {})) is not None


def test_windows_overlap_leave_gaps_and_tails_and_are_rectangular():
    seen = {"overlap": 0, "gap": 0, "tail": 0, "border": 0, "rectangle": 0, "several": 0}
    for case in drawn("max_pool2d_forward"):
        plan = case.plan
        seen["overlap"] += plan["KH"] > plan["SH"]
        seen["gap"] += plan["KH"] < plan["SH"]
        seen["tail"] += (plan["H"] + 2 * plan["PH"] - plan["KH"]) % plan["SH"] > 0
        seen["border"] += plan["PH"] > 0
        seen["rectangle"] += plan["KH"] != plan["KW"]
        seen["several"] += case.expected["out"].size > 8
    assert min(seen.values()) >= SOME / 12, seen


def test_ties_nan_and_infinity_are_in_the_arrays():
    for case in drawn("max_pool2d_forward"):
        x, kind = case.arguments["x"], case.plan["values"]
        if kind == "ties" and x.size > 6:
            assert len(np.unique(x)) < x.size
        if kind == "normal":
            assert len(np.unique(x)) == x.size
    made = drawn("relu_forward")
    for case in made:
        for kind, special in (("nan", np.isnan), ("infinity", np.isinf)):
            x = case.arguments["x"]
            assert special(x).any() == (case.plan["values"] == kind and x.size > 0)


def test_a_kernel_gets_copies_in_the_layout_of_the_plan():
    layouts = {}
    for case in drawn("affine_forward", "float32"):
        given = case.fresh()
        assert all(value.dtype == np.float32 for value in given.values())
        for name, value in given.items():
            np.testing.assert_array_equal(value, case.arguments[name])
            assert not np.shares_memory(value, case.arguments[name])
        if min(given["x"].shape) > 1:
            layouts[case.plan["layout"]] = given["x"]
    assert layouts["C"].flags.c_contiguous and layouts["F"].flags.f_contiguous
    assert not layouts["strided"].flags.forc
    assert layouts["reversed"].strides[0] < 0


def test_an_update_may_be_in_place():
    made = drawn("sgd_update")
    assert any(case.plan["in_place"] for case in made)
    for case in made:
        given = case.fresh()
        assert (given["out"] is given["w"]) == case.plan["in_place"]


def test_the_same_seed_draws_the_same():
    first, again, other = ([case.plan for case in drawn("relu_forward", seed=seed)] for seed in (1, 1, 2))
    assert first == again != other


def test_the_smallest_case_keeps_only_the_choices_that_fail():
    case = next(case for case in drawn("conv2d_forward") if case.plan["C"] > 1 and case.plan["values"] == "normal")
    fault = Fault("value", "out", "", {})
    found, _ = smallest(case, fault, lambda case: fault if case.plan["C"] > 1 else None)
    least = {name: choices[0] for name, choices in strategies.choices(case.function).items()}
    assert {name: found.plan[name] for name in least} == {**least, "C": 2}


# ---- accepted kernels and reports ----


def test_a_right_kernel_is_right_and_timed():
    report = check_kernel(faulty_kernels.my_conv, "conv2d_forward", cases=12)
    assert report.ok and report.fault is None and report.arguments == {}
    assert report.seconds.keys() >= {"my_conv", "naive", "vectorized"}
    lines = str(report).splitlines()
    assert lines[0] == (
        f"my_conv does what conv2d_forward does: {report.cases} cases in float32 and float64, with the same bits in "
        "repeated calls and in several threads at once."
    )
    assert lines[1].startswith(
        "Time of one call on x (16, 8, 16, 16), w (16, 8, 3, 3), b (16,), float32, and the speedup"
    )
    assert re.fullmatch(r"  my_conv +[\d.e+-]+ ms", lines[2])
    assert re.fullmatch(r"  naive +[\d.e+]+ ms +[\d.e+]+x", lines[3])


def test_a_kernel_may_be_named_like_a_backend():
    def naive(x):
        return np.maximum(x, 0)

    assert "naive (yours)" in str(check_kernel(naive, "relu_forward", cases=4))


def test_a_kernel_without_name_or_signature_is_checked_too():
    class Kernel:
        def __call__(self, x):
            return np.maximum(x, 0)

    assert str(check_kernel(Kernel(), "relu_forward", cases=4, timed=False)).startswith("Kernel does what relu_forward")
    maximum = faulty_kernels.right(affine.affine_forward)
    maximum.__signature__ = "none"
    assert check_kernel(maximum, "affine_forward", cases=4, timed=False).ok


def test_the_last_parameters_may_be_missing():
    seen = []

    def plain_conv(x, w, b):
        seen.append(x.shape[2] - w.shape[2])
        return conv2d.conv2d_forward(x, w, b)

    def gradients(dout, x, w, stride, pad):
        return conv2d.conv2d_backward(dout, x, w, stride, pad)

    with fastnn.use_backend("vectorized"):
        assert check_kernel(plain_conv, "conv2d_forward", cases=20, timed=False, dtypes=["float32"]).cases > 20
        assert check_kernel(faulty_kernels.right(gradients), "conv2d_backward", cases=10, timed=False).ok
    assert min(seen) >= 0  # no padding


def pool_without_gaps(x, size, stride, pad=0):
    """Max pooling of windows without gaps between them."""
    if np.any(np.less(size, stride)):
        raise Unsupported(f"stride={stride}")
    return faulty_kernels.right(pool2d.max_pool2d_forward)(x, size, stride, pad)


def test_unsupported_cases_are_skipped():
    report = check_kernel(pool_without_gaps, "max_pool2d_forward", cases=12)
    assert (report.ok, report.lacks) == (True, ("stride",))
    assert (
        0
        < report.cases
        < check_kernel(
            faulty_kernels.right(pool2d.max_pool2d_forward), "max_pool2d_forward", cases=12, timed=False
        ).cases
    )
    assert "does what max_pool2d_forward does except for stride, which it does not support: " in str(report)


def test_unsupported_cases_hide_no_fault():
    def wrong(x, size, stride, pad=0):
        out, index = pool_without_gaps(x, size, stride, pad)
        return out + 1, index

    with pytest.raises(WrongKernel, match="does not do what max_pool2d_forward does"):
        check_kernel(wrong, "max_pool2d_forward", cases=4, timed=False)


def test_a_kernel_that_supports_nothing():
    def nothing(x):
        raise Unsupported("x")

    with pytest.raises(
        ValueError, match=r"^check_kernel: kernel=nothing raises Unsupported in every case \(x\); expect"
    ):
        check_kernel(nothing, "relu_forward", cases=2, timed=False)


@pytest.mark.parametrize(
    ("kernel", "like", "options", "error", "message"),
    [
        (3, "relu_forward", {}, TypeError, "check_kernel: kernel=3 is not a function; expected one"),
        (len, "relu_foward", {}, ValueError, "check_kernel: like='relu_foward' is unknown; expected one of 'conv2d_fo"),
        (len, None, {}, TypeError, "check_kernel: like=None is unknown"),
        (len, "relu_forward", {"cases": 0}, ValueError, "check_kernel: cases=0 is out of range; expected at least 1"),
        (len, "relu_forward", {"seed": -1}, ValueError, "check_kernel: seed=-1 is out of range"),
        (len, "relu_forward", {"dtypes": ["float16"]}, ValueError, "check_kernel: dtypes='float16' is unknown"),
        (lambda x: x, "max_pool2d_forward", {}, ValueError,
         "check_kernel: kernel has the parameters (x); expected those of max_pool2d_forward: (x, size, stride, pad=0), "
         "by position; only the last ones with a default may be missing"),
        (lambda x, y: x, "relu_forward", {}, ValueError, "check_kernel: kernel has the parameters (x, y); expected"),
        (lambda *, x: x, "relu_forward", {}, ValueError, "check_kernel: kernel has the parameters (*, x); expected"),
    ],
)  # fmt: skip
def test_invalid_arguments_raise(kernel, like, options, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        check_kernel(kernel, like, **options)


def test_kernels_on_workqueue_are_not_called_concurrently(monkeypatch):
    numba = pytest.importorskip("numba", reason="workqueue is a threading layer of numba")
    monkeypatch.setattr(numba, "threading_layer", lambda: "workqueue")
    check_kernel(faulty_kernels.affine_in_a_shared_buffer, "affine_forward", cases=4, timed=False)


def test_a_kernel_runs_on_the_active_backend(backend):
    """The kernel runs on the active backend, the loops it is compared with on naive."""
    seen = set()

    def pool(x):
        seen.add(fastnn.get_backend())
        return pool2d.global_avg_pool2d_forward(x)

    chosen = fastnn.use_backend(backend)(pool)
    assert check_kernel(chosen, "global_avg_pool2d_forward", cases=3, timed=False).ok
    assert seen == {backend}
