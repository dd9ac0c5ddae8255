"""Who is pruned and who wins, by numbers worked out by hand."""
# pyright: reportOptionalMemberAccess=false

import math

import numpy as np
import pytest

from podway.framework.config.sweep import Asha, Sweep, Winner
from podway.launch.sweep import asha, candidates
from podway.launch.sweep.trial import Trial
from podway.launch.sweep.winner import Candidate, decide, front, standard_error
from tests.launch.sweep import examples

NAN = math.nan
THIRDS = Asha(first=2, factor=3)


def test_rungs_are_powers_of_the_factor():
    assert [n for n in range(1, 60) if asha.is_rung(n, THIRDS)] == [2, 6, 18, 54]
    assert [n for n in range(1, 30) if asha.is_rung(n, Asha())] == [1, 3, 9, 27]


@pytest.mark.parametrize(
    ("own", "others", "ended"),
    [
        (0.1, [], False),  # the first one there goes on
        (0.1, [0.2], True),  # of two, one
        (0.3, [0.2, 0.1, 0.05, 0.3], False),  # of five, the best: a tie is no loss
        (0.2, [0.3, 0.1, 0.05, 0.3], True),
        (0.2, [0.3, 0.1, 0.05, 0.0, 0.01], False),  # of six, the best two
        (0.2, [0.3, 0.4, 0.05, 0.0, 0.01], True),
        (NAN, [], True),
        (0.1, [NAN, NAN], False),
    ],
)
def test_the_best_third_goes_on(own, others, ended):
    values, there = [9.0, own], [[9.0, other] for other in others]
    assert asha.ends(values, there, THIRDS, largest_is_best=True) is ended
    small = [[9.0, -other] for other in others]
    assert asha.ends([9.0, -own], small, THIRDS, largest_is_best=False) is ended


def test_nobody_ends_between_rungs_nor_by_who_has_not_come_as_far():
    assert not asha.ends([0.1] * 3, [[0.9] * 3] * 9, THIRDS, largest_is_best=True)
    assert not asha.ends([0.1] * 2, [[0.9]] * 9, THIRDS, largest_is_best=True)


def test_a_small_model_is_not_ended_by_large_ones():
    small, large = {"latency": 1.0, "size": 5.0}, {"latency": 9.0, "size": 5.0}
    assert not asha.competes(small, large, ["latency"])
    assert asha.competes(large, small, ["latency"])
    assert asha.competes(small, large, ["size"])
    assert asha.competes(small, large, [])
    assert not asha.competes(small, {}, ["latency"]), "what is not known is dear"


def test_the_error_of_a_difference_is_of_pairs():
    """Over seeds: .1, .2, .3, whose deviation is .1: .1/√3. Over users: 0 and .4: .2828/√2 = .2."""
    first = Candidate(0, (0.5, 0.7, 0.9), np.array([0.5, 0.9]), (2.0,))
    second = Candidate(1, (0.4, 0.5, 0.6), np.array([0.5, 0.5]), (1.0,))
    assert standard_error(first, second) == pytest.approx(math.sqrt(0.01 / 3 + 0.04))
    assert standard_error(first, first) == 0.0
    alone = Candidate(2, (0.4, 0.5, 0.6), None, (1.0,))
    assert standard_error(first, alone) == pytest.approx(0.1 / math.sqrt(3))
    others = Candidate(3, (0.4, 0.5, 0.6), np.zeros(9), (1.0,))
    assert standard_error(first, others) == pytest.approx(0.1 / math.sqrt(3))


def test_the_cheapest_within_an_error_of_the_best_wins():
    best = Candidate(4, (0.50, 0.52, 0.54), None, (300.0,))
    # .01 behind, and its differences .00, .01, .02 have an error of .01/√3 = .0058: worse.
    behind = Candidate(5, (0.50, 0.51, 0.52), None, (100.0,))
    # .01 behind as well, but by −.02, .01, .04: an error of .03/√3 = .0173: as good.
    noisy = Candidate(6, (0.52, 0.51, 0.50), None, (200.0,))
    found = decide([best, behind, noisy], largest_is_best=True)
    assert (found.best, found.winner) == (4, 6)
    assert {n: each.as_good for n, each in found.standings.items()} == {4: True, 5: False, 6: True}
    assert found.standings[5].error == pytest.approx(0.01 / math.sqrt(3))
    assert found.standings[5].behind == pytest.approx(0.01)
    assert decide([best, behind, noisy], largest_is_best=True, errors=0).winner == 4
    assert decide([best, behind, noisy], largest_is_best=True, errors=2).winner == 5


def test_a_loss_wins_by_being_small():
    low = Candidate(0, (0.1, 0.2), None, (2.0,))
    high = Candidate(1, (0.4, 0.5), None, (1.0,))
    assert decide([low, high], largest_is_best=False).winner == 0
    assert decide([low, high], largest_is_best=True).winner == 1


def test_what_is_no_number_never_wins():
    real, failed = Candidate(0, (0.1, 0.1), None, (9.0,)), Candidate(1, (0.9, NAN), None, (1.0,))
    assert decide([failed, real], largest_is_best=True).winner == 0
    assert decide([failed], largest_is_best=True) is None
    assert decide([], largest_is_best=True) is None


def test_one_seed_leaves_no_doubt():
    """Without users or seeds there is no error, so the best wins, however dear."""
    best, near = Candidate(0, (0.5,), None, (9.0,)), Candidate(1, (0.499,), None, (1.0,))
    assert decide([best, near], largest_is_best=True).winner == 0


def test_the_front_is_whom_nobody_beats():
    rows = [(1, 9), (2, 5), (3, 5), (4, 1), (2, 5), (NAN, 0), (0, NAN), (5, 2)]
    assert front(rows) == [0, 1, 3]
    assert front([(1,), (1,), (2,)]) == [0]
    assert front([]) == []


def trial(number: int, quality: float, parameters: float, **changes) -> Trial:
    quantities = {"parameters": parameters, "examples": 10.0}
    options = {"state": "complete", "values": {}, "run": f"r{number}", "quantities": quantities}
    return Trial(**{"number": number, "quality": quality, **options, **changes})


def test_candidates_are_the_best_of_the_front_then_the_next_best():
    found = [
        trial(0, 0.50, 400),  # the best
        trial(1, 0.49, 500),  # beaten in both by 0
        trial(2, 0.45, 100),  # on the front
        trial(3, 0.10, 50),  # likewise
        trial(4, 0.48, 450),
        trial(5, 0.99, 10, state="pruned"),
        trial(6, NAN, 10),
        trial(7, 0.50, 400, run="r0"),  # the same run as 0
    ]
    plan = examples.plan(objectives=("quality",), limits=(), winner=Winner(candidates=4))
    assert [each.number for each in candidates.of(plan, found)] == [0, 2, 3, 1]
    one = examples.plan(objectives=("quality",), limits=(), winner=Winner(candidates=1))
    assert [each.number for each in candidates.of(one, found)] == [0]
    sweep = Sweep(examples.SPACE, objectives=("quality", "parameters"))
    front = candidates.on_front(found, sweep, largest_is_best=True)
    assert [each.number for each in front] == [0, 2, 3]


def test_each_candidate_is_trained_with_each_seed():
    plan = examples.plan(objectives=("quality",), limits=(), winner=Winner(candidates=2, seeds=3))
    found = [trial(0, 0.5, 9), trial(1, 0.4, 8), trial(2, 0.3, 99)]
    left = [(each.number, seed) for each, seed in candidates.trainings(plan, found)]
    assert left == [(0, 1), (1, 1), (0, 2), (1, 2)]
    seeds = [candidates.experiment(plan, found[0], seed).trainer.seed for seed in range(3)]
    assert seeds == [0, 1, 2]


def test_latencies_that_differ_by_noise_cost_the_same():
    sweep = Sweep(examples.SPACE, objectives=("quality", "latency"))
    fast = trial(0, 0.5, 5, quantities={"latency": 1.234, "parameters": 5.0})
    slow = trial(1, 0.5, 4, quantities={"latency": 1.241, "parameters": 4.0})
    assert candidates.cost(slow, sweep) < candidates.cost(fast, sweep)
