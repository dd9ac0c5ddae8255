import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from podway.beam.statistics import drift, ids, numbers
from podway.framework.config.limits import Limits
from podway.framework.error import ConfigError
from podway.framework.schema.schema import Vocabulary

WORDS = tuple(f"w{at}" for at in range(3000))


def of_numbers(values) -> dict:
    return numbers.to_json(numbers.of(values), "number")


def of_words(found: np.ndarray, words=WORDS) -> dict:
    """Statistics of words by their place in `words`; −2: missing, −1: out of vocabulary."""
    vocabulary = Vocabulary(("", "", *words), (0,) * (len(words) + 2))
    return ids.to_json(ids.of(np.bincount(found + 2)), vocabulary)


def test_the_indices_are_those_of_the_definitions():
    old, new = np.array([40, 40, 20, 0]), np.array([20, 30, 40, 10])
    p, q = (old + 0.5) / 102, (new + 0.5) / 102
    by_hand = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert drift.psi(old, new) == pytest.approx(by_hand, rel=1e-12)
    assert by_hand == pytest.approx(0.5933, abs=1e-4)
    generator = np.random.default_rng(0)
    for _ in range(50):
        old, new = generator.integers(0, 30, (2, 12))
        assert drift.jensen_shannon(old, new) == pytest.approx(jensenshannon(old, new, base=2))
    assert drift.jensen_shannon(np.array([3, 0]), np.array([0, 9])) == 1
    assert drift.jensen_shannon(np.array([3, 1]), np.array([9, 3])) == 0
    assert drift.psi(np.array([3, 1]), np.array([3, 1])) == 0


def test_a_number_moves_by_a_known_amount():
    # The reference's tenths; the other side has one in each of nine, and 91 in the last.
    reference = np.arange(1000)
    other = np.append(np.arange(50, 950, 100), np.full(991, 999))
    found = drift.compare(of_numbers(reference), of_numbers(other), Limits())
    counts = [np.full(10, 100), np.array([1] * 9 + [991])]
    assert found.psi == pytest.approx(drift.psi(*counts), rel=1e-12)
    assert found.js == pytest.approx(jensenshannon(*counts, base=2))
    assert (found.verdict, found.rows) == ("drift", (1000, 1000))
    assert found.moved == "900 to 999: 10.0% → 99.1%"


def test_a_number_that_is_frequent_has_a_bin_of_its_own():
    zeros = np.append(np.zeros(50), 1 + np.zeros(950))
    other = np.append(np.zeros(450), 1 + np.zeros(550))
    found = drift.compare(of_numbers(zeros), of_numbers(other), Limits())
    assert found.psi == pytest.approx(drift.psi(np.array([50, 950]), np.array([450, 550])))
    spike = np.random.default_rng(0).normal(size=10_000)
    other = np.append(spike[:8_000], np.full(2_000, -9.0))
    found = drift.compare(of_numbers(other), of_numbers(spike), Limits())
    assert found.verdict == "drift"
    assert found.moved == "-9: 20.0% → 0.0%"


def test_missing_values_are_a_bin():
    values = np.random.default_rng(0).normal(size=2_000)
    gone = np.where(np.arange(2_000) % 2, values, np.nan)
    found = drift.compare(of_numbers(values), of_numbers(gone), Limits())
    assert (found.verdict, found.moved) == ("drift", "missing: 0.0% → 50.0%")
    words = np.random.default_rng(0).integers(0, 10, 2_000)
    unknown = np.where(np.arange(2_000) % 2, words, -1)
    found = drift.compare(of_words(words), of_words(unknown), Limits())
    assert (found.verdict, found.moved) == ("drift", "out of vocabulary: 0.0% → 50.0%")


def test_a_reference_without_numbers():
    nothing, numbers_ = of_numbers(np.full(2_000, np.nan)), of_numbers(np.arange(2_000))
    assert drift.compare(nothing, nothing, Limits()).verdict == "none"
    found = drift.compare(nothing, numbers_, Limits())
    assert (found.verdict, found.moved) == ("drift", "all numbers: 0.0% → 100.0%")


def test_values_are_compared_by_their_text():
    found = np.random.default_rng(0).integers(0, 10, 2_000)
    other_way = drift.compare(of_words(found), of_words(9 - found, WORDS[9::-1]), Limits())
    assert (other_way.psi, other_way.js) == (0, 0)
    renamed = drift.compare(of_words(found), of_words(found, WORDS[10:20]), Limits())
    assert renamed.verdict == "drift"
    swapped = np.where(found == 3, 4, found)
    told = drift.compare(of_words(found), of_words(swapped), Limits())
    counts = [np.bincount(side, minlength=10) for side in (found, swapped)]
    assert told.psi == pytest.approx(drift.psi(*counts))


def test_no_verdict_on_few_rows():
    for count, verdict in ((499, "unjudged"), (500, "drift")):
        few, many = np.arange(count), np.arange(5_000) + 10_000.0
        for sides in ((few, many), (many, few)):
            told = drift.compare(of_numbers(sides[0]), of_numbers(sides[1]), Limits())
            assert told.verdict == verdict
    # Ten lists of a hundred elements are ten rows.
    long = ids.to_json(ids.of(np.array([0, 0, 1000]), numbers.of(np.full(10, 100))), None)
    assert drift.compare(long, long, Limits()).verdict == "unjudged"
    with pytest.raises(ValueError, match="number cannot be compared with ids"):
        drift.compare(of_numbers(few), long, Limits())


def sampler(kind: str):
    generator = np.random.default_rng(11)
    zipf = 1 / np.arange(1, 3001)
    return {
        "normal": lambda count: of_numbers(generator.normal(size=count)),
        "stars": lambda count: of_numbers(generator.integers(0, 5, count)),
        "few": lambda count: of_words(generator.integers(0, 20, count)),
        "many": lambda count: of_words(generator.integers(0, 3000, count)),
        "zipf": lambda count: of_words(generator.choice(3000, count, p=zipf / zipf.sum())),
    }[kind]


@pytest.mark.parametrize("kind", ["normal", "stars", "few", "many", "zipf"])
def test_equal_distributions_raise_no_alarm(kind):
    sample = sampler(kind)
    for old, new in ((500, 500), (500, 5_000), (5_000, 500)):
        found = [drift.compare(sample(old), sample(new), Limits()).verdict for _ in range(200)]
        assert found.count("drift") == 0
        assert found.count("warning") <= 3


def test_why_there_is_a_least_number_of_rows():
    sample, few = sampler("normal"), Limits(rows=1)
    alarms = [drift.compare(sample(100), sample(100), few).psi > few.psi for _ in range(200)]
    assert np.mean(alarms) > 0.2  # what a plain threshold would do on a hundred rows


@pytest.mark.parametrize("shift", [0.6, 1.0])
def test_a_shift_is_found(shift):
    generator = np.random.default_rng(2)
    for _ in range(20):
        old, new = generator.normal(size=(2, 1_000))
        found = drift.compare(of_numbers(old), of_numbers(new + shift), Limits())
        assert found.verdict == "drift"
        # Of two normal distributions, with bins of vanishing width, psi is shift².
        assert found.psi == pytest.approx(shift**2, rel=0.35)


def test_a_small_shift_is_a_warning_and_limits_can_be_changed():
    generator = np.random.default_rng(2)
    old, new = generator.normal(size=(2, 5_000))
    sides = of_numbers(old), of_numbers(new + 0.35)
    assert drift.compare(*sides, Limits()).verdict == "warning"
    assert drift.compare(*sides, Limits(psi=0.1)).verdict == "drift"
    assert drift.compare(*sides, Limits(js=0.3)).verdict == "none"
    with pytest.raises(ConfigError, match=r"limits.js is 2; give a number up to 1"):
        Limits(js=2)
