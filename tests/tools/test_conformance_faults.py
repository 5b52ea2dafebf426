"""`check_kernel` finds common faults in a small case and names their cause."""

import re

import faulty_kernels
import numpy as np
import pytest

from fastnn.kernels import conv2d
from fastnn.testing import WrongKernel, check_kernel
from fastnn.testing.conformance.cases import drawn
from fastnn.testing.conformance.causes import find
from fastnn.testing.conformance.compare import judge
from fastnn.testing.conformance.specs import FUNCTIONS


def found(kernel, like, **options):
    with pytest.raises(WrongKernel) as caught:
        check_kernel(kernel, like, timed=False, **options)
    return caught.value.report


@pytest.mark.parametrize(
    ("kernel", "like", "word", "words"), faulty_kernels.FAULTS, ids=[row[0].__name__ for row in faulty_kernels.FAULTS]
)
def test_a_fault_is_found_and_its_cause_named(kernel, like, word, words):
    report = found(kernel, like)
    assert not report.ok
    assert report.cause.word == word, str(report)
    assert re.search(words, report.cause.words)
    assert f"Probable cause: {word}: {report.cause.words}." in str(report)
    for value in report.arguments.values():
        if isinstance(value, np.ndarray):
            assert value.size <= 12, f"not the smallest case: {report}"


def test_the_ten_most_common_faults_are_among_them():
    caught = {word for _, _, word, _ in faulty_kernels.FAULTS}
    assert caught > {
        "accumulation", "ties", "sides", "tail", "flipped", "bias", "float32", "overwritten", "race", "empty batch",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_max_pool_gradient_is_found_in_its_smallest_case_for_any_seed(seed):
    report = found(faulty_kernels.assigning_max_pool, "max_pool2d_backward", seed=seed)
    dout, index, x_shape, size, stride, pad = report.arguments.values()
    assert sorted(x_shape) == [1, 1, 1, 3]  # two windows of two that share the element between them
    assert dout.size == index.size == 2
    assert sorted(size) == [1, 2] and (stride, pad) == (1, 0)
    assert report.cause.word == "accumulation"
    assert report.takes[0].startswith("windows that overlap in ")


def test_the_report_shows_the_failing_call():
    lines = str(found(faulty_kernels.assigning_max_pool, "max_pool2d_backward", seed=0)).splitlines()
    assert re.fullmatch(
        r"assigning_max_pool does not do what max_pool2d_backward does: dx\[0, 0, .*\] = \S+ where \S+ was expected "
        r"\(1 of 3 elements are wrong\)\.",
        lines[0],
    )
    assert re.fullmatch(
        r"Smallest case found that fails: max_pool2d_backward\(dout, index, x_shape=.*, size=.*, stride=1, pad=0\)",
        lines[1],
    )
    assert re.fullmatch(r"  dout = \[.*\], float64 of shape \(1, 1, \d, \d\)", lines[2])
    assert re.fullmatch(r"  index = \[.*\], uint8 of shape \(1, 1, \d, \d\)", lines[3])
    assert lines[4].startswith("  dx, expected = ") and lines[5].startswith("  dx, actual = ")
    assert re.fullmatch(r"It takes windows that overlap in (height|width) \(size 2, stride 1\), .*\.", lines[6])
    assert lines[7].startswith("Probable cause: accumulation: ")


def test_the_smallest_case_fails_when_it_is_called():
    report = found(faulty_kernels.conv_without_bias, "conv2d_forward")
    x, w, b, stride, pad, _ = report.arguments.values()
    assert x.size == w.size == b.size == 1
    actual, expected = (
        faulty_kernels.conv_without_bias(x, w, b, stride, pad),
        conv2d.conv2d_forward(x, w, b, stride, pad),
    )
    assert actual.item() != expected.item()
    assert report.fault.message == f"out[0, 0, 0, 0] = {actual.item():g} where {expected.item():g} was expected"


def raising(error):
    def kernel(*_):
        raise error

    return kernel


def maxout_with_float_index(x, pieces):
    groups = x.reshape(len(x), x.shape[1] // pieces, pieces, *x.shape[2:])
    return groups.max(2), groups.argmax(2).astype(x.dtype)


@pytest.mark.parametrize(
    ("kernel", "like", "said", "cause"),
    [
        (raising(KeyError("x")), "relu_forward", "raises KeyError: 'x'", "arguments that the contract allows"),
        (lambda x: [1, 2], "relu_forward", "out: shape (2,) where (1, 1) was expected", "not of the type or rank"),
        (lambda x: None, "relu_forward", "out: None where a ndarray was expected", "not of the type or rank"),
        (lambda x: x > 0, "relu_forward", "out is bool; expected float64", "wrong dtype"),
        (maxout_with_float_index, "maxout_forward", "index", "index has the wrong dtype; make it uint8"),
        (lambda x, y: (True, x), "svm_loss", "loss: dtype bool where float64 was", "loss has the wrong dtype"),
        (lambda x, y: (0.0,), "svm_loss", "returns 1 result; expected 2: loss, dx", "the results are not those"),
        (lambda x, y: 0.0, "svm_loss", "returns 1 result; expected 2: loss, dx", "the results are not those"),
    ],
)  # fmt: skip
def test_wrong_forms_of_results(kernel, like, said, cause):
    report = found(kernel, like)
    assert said in report.fault.message
    assert cause in report.cause.words


def test_an_unknown_cause():
    report = found(lambda x: np.sin(x * 1.1).astype(x.dtype), "relu_forward")
    assert report.cause.word is None
    assert str(report).endswith("Probable cause: unknown; compute the smallest case by hand.")


def test_a_wrong_element_is_found_in_every_result_of_every_kernel():

    def with_one_wrong_element(function, name):
        def kernel(*arguments):
            results = function.public(*arguments)
            if name in function.written:
                arguments[list(function.parameters).index(name)].reshape(-1)[:1] += 1
                return results
            values = list(results) if isinstance(results, tuple) else [results]
            place = function.results.index(name)
            values[place] = changed(values[place])
            return tuple(values) if isinstance(results, tuple) else values[0]

        return kernel

    for function in FUNCTIONS.values():
        for name in (*function.results, *function.written):
            kernel = faulty_kernels.right(with_one_wrong_element(function, name))
            judged = ((case, judge(kernel, case)) for case in drawn(function, "float64", {}, 0, 16))
            case, fault = next((case, fault) for case, fault in judged if fault)
            assert fault.where == name
            assert find([(case, fault)], ()).words


def changed(value):
    """A result with its first element changed."""
    if isinstance(value, float):
        return value + 1
    if value is not None and value.size:
        value = value.copy()
        value.reshape(-1)[0] = not value.reshape(-1)[0] if value.dtype.kind in "bu" else value.reshape(-1)[0] + 1
    return value
