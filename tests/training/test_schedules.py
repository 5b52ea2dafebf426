"""Learning-rate schedules, against figures by hand and PyTorch's schedulers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn.schedules import Cosine, Exponential, OneCycle, Plateau, Position, Step, Warmup


def factors(schedule, total, per_epoch=1, history=()):
    return [schedule(Position(iteration, total, per_epoch, tuple(history))) for iteration in range(total)]


def test_by_hand():
    np.testing.assert_allclose(factors(Step(2, 0.1), 12, 2), [1] * 4 + [0.1] * 4 + [0.01] * 4)
    np.testing.assert_allclose(factors(Exponential(0.25), 5, 2), [1, 0.5, 0.25, 0.125, 0.0625])
    np.testing.assert_allclose(factors(Cosine(), 4), [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])
    np.testing.assert_allclose(factors(Cosine(0.2), 3), [1, 0.8, 0.4])
    np.testing.assert_allclose(factors(Warmup(2), 6, 2), [0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_allclose(factors(Warmup(1, then=Cosine()), 4, 2), [0.5, 1, 1, 0.5])
    np.testing.assert_allclose(
        factors(OneCycle(0.4, start=0.2, final=0.1, anneal="linear"), 10),
        [0.2, 0.2 + 0.8 / 3, 0.2 + 1.6 / 3, 1, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1],
    )


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], 1),
        ([0.1, 0.2, 0.3, 0.2], 1),
        ([0.3, 0.2, 0.3], 1),
        ([0.3, 0.2, 0.3, 0.1], 0.5),
        ([0.3, 0.2, 0.3, 0.1, 0.1, 0.1], 0.5),
        ([0.3, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1], 0.25),
        ([0.3, 0.2, 0.3, 0.1, 0.4, 0.3, 0.3], 0.5),
        ([0.3] * 100, 0.2),
    ],
)
def test_plateaus_by_hand(history, expected):
    schedule = Plateau(0.5, patience=2, minimum=0.2)
    assert schedule(Position(0, 1, 1, tuple(history))) == expected


def test_a_threshold_is_to_be_exceeded():
    position = Position(0, 1, 1, (0.25, 0.375, 0.375))
    assert Plateau(0.5, 0, threshold=0.125)(position) == 0.25  # neither is better by more than the threshold
    assert Plateau(0.5, 0, threshold=0.1)(position) == 0.5


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("peak_at", [0, 0.3, 0.5, 1])
def test_the_shortest_cycles(total, peak_at):
    actual = factors(OneCycle(peak_at), total)
    assert all(0 < factor <= 1 for factor in actual)
    assert actual[-1] == pytest.approx(1e-4 if total > 1 and peak_at < 1 else 1)


def test_a_warm_up_is_rounded():
    assert factors(Warmup(0.5), 3, 5) == [0.5, 1, 1]
    assert factors(Warmup(0.01), 2, 5) == [1, 1]
    assert factors(Warmup(3), 2, 5) == pytest.approx([1 / 15, 2 / 15])


def test_a_warm_up_passes_the_accuracies_on():
    seen = []
    schedule = Warmup(1, then=lambda position: seen.append(position) or 0.5)
    assert factors(schedule, 3, 1, [0.5]) == [1, 0.5, 0.5]
    assert seen == [Position(0, 2, 1, (0.5,)), Position(1, 2, 1, (0.5,))]


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch")
    torch_rates(module, lambda schedulers, optimizer: schedulers.StepLR(optimizer, 1), 2)  # the import takes a second
    return module


def torch_rates(torch, make_scheduler, total, accuracies=None):
    """Return the learning rates of a PyTorch scheduler for each step, starting at 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(torch.optim.lr_scheduler, optimizer)
    rates = []
    for iteration in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if accuracies is not None:
            scheduler.step(accuracies[iteration])
        elif iteration + 1 < total:
            scheduler.step()
    return rates


@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.1, 1.5))
def test_step_is_torchs(torch, every, per_epoch, factor):
    def scheduler(schedulers, optimizer):
        return schedulers.StepLR(optimizer, every * per_epoch, factor)

    actual = factors(Step(every, factor), 20, per_epoch)
    np.testing.assert_allclose(actual, torch_rates(torch, scheduler, 20), rtol=1e-9)


@given(st.integers(1, 5), st.floats(0.1, 1.5))
def test_exponential_is_torchs(torch, per_epoch, factor):
    def scheduler(schedulers, optimizer):
        return schedulers.ExponentialLR(optimizer, factor ** (1 / per_epoch))

    actual = factors(Exponential(factor), 20, per_epoch)
    np.testing.assert_allclose(actual, torch_rates(torch, scheduler, 20), rtol=1e-9)


@given(st.integers(1, 50), st.floats(0, 1))
def test_cosine_is_torchs(torch, total, final):
    def scheduler(schedulers, optimizer):
        return schedulers.CosineAnnealingLR(optimizer, T_max=total, eta_min=final)

    expected = torch_rates(torch, scheduler, total)
    np.testing.assert_allclose(factors(Cosine(final), total), expected, rtol=1e-9, atol=1e-12)


@given(st.integers(2, 10), st.integers(1, 5))
def test_warm_up_is_torchs(torch, length, rest):
    def scheduler(schedulers, optimizer):
        return schedulers.LinearLR(optimizer, start_factor=1 / length, total_iters=length - 1)

    expected = torch_rates(torch, scheduler, length + rest)
    np.testing.assert_allclose(factors(Warmup(length), length + rest), expected, rtol=1e-9)


@given(
    st.integers(4, 60),
    st.floats(0.3, 0.9),
    st.floats(0.01, 1),
    st.floats(1e-6, 1),
    st.sampled_from([("cosine", "cos"), ("linear", "linear")]),
)
def test_one_cycle_is_torchs(torch, total, peak_at, start, final, anneal):
    def scheduler(schedulers, optimizer):
        return schedulers.OneCycleLR(
            optimizer, 1.0, total_steps=total, pct_start=peak_at, anneal_strategy=anneal[1], cycle_momentum=False,
            div_factor=1 / start, final_div_factor=start / final,
        )  # fmt: skip

    actual = factors(OneCycle(peak_at, start, final, anneal[0]), total)
    np.testing.assert_allclose(actual, torch_rates(torch, scheduler, total), rtol=1e-9, atol=1e-12)


@given(
    st.lists(st.integers(0, 8).map(lambda right: right / 8), min_size=1, max_size=40),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.05, 0.125, 0.2]),
    st.sampled_from([0.0, 0.3]),
)
def test_plateau_is_torchs(torch, accuracies, patience, threshold, minimum):
    def scheduler(schedulers, optimizer):
        return schedulers.ReduceLROnPlateau(
            optimizer, "max", factor=0.5, patience=patience, threshold=threshold, threshold_mode="abs", min_lr=minimum,
            eps=0,
        )  # fmt: skip

    schedule = Plateau(0.5, patience, threshold, minimum)
    actual = [schedule(Position(0, 1, 1, tuple(accuracies[:count]))) for count in range(len(accuracies))]
    expected = torch_rates(torch, scheduler, len(accuracies), accuracies)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Step(0), ValueError, "Step: every=0 is out of range"),
        (lambda: Step(1.5), ValueError, r"Step: every=1\.5 is not an integer"),
        (lambda: Step(1, 0), ValueError, "Step: factor=0 is out of range"),
        (lambda: Exponential(-1), ValueError, "Exponential: factor=-1 is out of range"),
        (lambda: Exponential("a"), TypeError, "Exponential: factor='a' is not a number"),
        (lambda: Cosine(-0.1), ValueError, r"Cosine: final=-0\.1 is out of range"),
        (lambda: Cosine(math.nan), ValueError, "Cosine: final=nan is not finite"),
        (lambda: Warmup(0), ValueError, "Warmup: length=0 is out of range"),
        (lambda: Warmup(1, "cosine"), TypeError, "Warmup: then='cosine' is not a schedule; expected a function"),
        (lambda: OneCycle(1.1), ValueError, r"OneCycle: peak_at=1\.1 is out of range"),
        (lambda: OneCycle(start=-1), ValueError, "OneCycle: start=-1 is out of range"),
        (lambda: OneCycle(final=-1), ValueError, "OneCycle: final=-1 is out of range"),
        (lambda: OneCycle(anneal="cos"), ValueError, "OneCycle: anneal='cos' is unknown.*did you mean 'cosine'"),
        (lambda: Plateau(1.0), ValueError, r"Plateau: factor=1\.0 is out of range"),
        (lambda: Plateau(patience=-1), ValueError, "Plateau: patience=-1 is out of range"),
        (lambda: Plateau(threshold=-1), ValueError, "Plateau: threshold=-1 is out of range"),
        (lambda: Plateau(minimum=2), ValueError, "Plateau: minimum=2 is out of range"),
    ],
)
def test_faulty_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
