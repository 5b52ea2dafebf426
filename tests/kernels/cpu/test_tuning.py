"""Tuning chooses what is reliably faster, and nothing else; all times are injected."""

import collections
import itertools

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn

if "njit" not in AVAILABLE:
    pytest.skip("numba is not installed", allow_module_level=True)

from fastnn.kernels.cpu import tuning
from fastnn.kernels.cpu.simd import size_model, sizes

DTYPE = np.dtype(np.float32)
DEEP = 2 * size_model.Sizes().depth


def winners(seconds_of, told=None, seconds=160.0):
    """Return what tuning chooses if `seconds_of(class, case)` are the times; the clock counts its readings."""
    of_case = {id(case): name for name, cases in found.items() for case in cases}
    return tuning.tune(
        DTYPE,
        seconds,
        lambda case: seconds_of(of_case[id(case)], case),
        itertools.count().__next__,
        told or (lambda *_: 0),
    )


@pytest.fixture(autouse=True, scope="module")
def one_set_of_cases():
    """All tests use the same cases, whose arrays are large."""
    global found
    found = tuning.cases(DTYPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "cases", lambda dtype: found)
        yield
    found = None


def used(name):
    return sizes.table()[name]


def test_every_class_has_cases_of_its_own():
    assert set(found) == {f"float32 {name}" for name in size_model.CLASSES}
    for cases in found.values():
        assert len(cases) >= 2


def test_cases_run_and_follow_their_plans():
    with fastnn.use_backend("njit"):
        for cases in found.values():
            cases[0].call()
            assert tuning._timed(cases[0]) > 0


def test_what_is_faster_wins():
    told = []
    chosen = winners(
        lambda name, case: 1.0 if name == "float32 dw large" and used(name).depth == DEEP else 1.1,
        lambda name, winner: told.append((name, winner)),
    )
    assert chosen == {"float32 dw large": tuning.Winner("depth", DEEP, pytest.approx(1.1))}
    assert [name for name, _ in told] == [f"float32 {name}" for name in size_model.CLASSES]
    assert dict(told)["float32 dw large"] == chosen["float32 dw large"]
    assert dict(told)["float32 dx large"] is None


def test_the_fastest_of_several_wins():
    def seconds(name, case):
        depth = used(name).depth
        return {DEEP: 0.9, DEEP // 4: 0.8}.get(depth, 1.0)

    chosen = winners(seconds)
    assert set(chosen) == {f"float32 {name}" for name in size_model.CLASSES if "convolution" not in name}
    for winner in chosen.values():
        assert (winner.size, winner.value) == ("depth", DEEP // 4)


def test_less_than_the_margin_is_not_enough():
    assert winners(lambda name, case: 1.0 if used(name).depth == DEEP else 1.02) == {}


@pytest.mark.parametrize(("seed", "seconds"), [(0, 160.0), (1, 160.0), (2, 110.0), (3, 110.0)])
def test_noise_chooses_nothing(seed, seconds):
    """Times that differ by up to a half from one call to the next, and at times tenfold."""
    generator = np.random.default_rng(seed)
    noise = lambda *_: generator.uniform(1.0, 1.5) * (10 if generator.random() < 0.1 else 1)  # noqa: E731
    assert winners(noise, seconds=seconds) == {}


def test_a_load_that_comes_and_goes_chooses_nothing():
    """Every hundredth measurement begins a period in which everything takes three times as long."""
    calls = itertools.count()
    assert winners(lambda *_: 3.0 if next(calls) // 100 % 2 else 1.0) == {}


def test_a_case_that_gets_slower_prevents_a_winner():
    def seconds(name, case):
        is_deep = used(name).depth == DEEP
        return (1.1 if case is found[name][0] else 0.5) if is_deep else 1.0

    assert winners(seconds) == {}


def test_a_winner_has_to_win_again():
    """It is faster as long as others are timed too."""
    recent = collections.deque(maxlen=5)

    def seconds(name, case):
        if case is found[name][0]:
            recent.append(used(name))
        return 0.8 if len(set(recent)) > 2 and used(name).depth == DEEP else 1.0

    assert winners(seconds) == {}


def test_alternatives_that_compute_the_same_are_not_timed():
    timed = set()

    def seconds(name, case):
        timed.add((name, used(name)))
        return 1.0

    winners(seconds)
    with sizes.use(sizes.with_overrides({"float32 forward large": {"in_place": 128}})):
        plans = [case.plan() for case in found["float32 forward large"]]
    assert any(of_class.in_place == 128 for name, of_class in timed if name == "float32 forward large")
    assert plans != [case.plan() for case in found["float32 forward large"]]
    for name, of_class in timed:
        with sizes.use({**sizes.with_overrides({}), name: of_class}):
            changed = [case.plan() for case in found[name]]
        is_model = of_class == size_model.model()
        assert is_model == (changed == [case.plan() for case in found[name]])


def test_every_alternative_is_within_the_limits():
    for name in found:
        for size, value in tuning.alternatives(name):
            least, most = size_model.LIMITS[size]
            assert least <= value <= most


def test_the_table_is_the_former_one_afterwards():
    before = sizes.identifier()
    winners(lambda *_: 1.0)
    assert sizes.identifier() == before
    with pytest.raises(KeyboardInterrupt):
        winners(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert sizes.identifier() == before


def test_time_ends_the_rounds():
    """A machine that is too busy for the least number of rounds keeps the model's sizes."""
    for seconds, is_timed in ((1e-9, False), (20.0, True)):
        calls = []

        def faster(name, case, calls=calls):
            calls.append(case)
            return 0.5 if used(name).depth == DEEP else 1.0

        assert winners(faster, seconds=seconds) == {}
        assert bool(calls) == is_timed
