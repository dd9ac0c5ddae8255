import json
import math

import numpy as np
import pytest

from podway.beam.statistics import quantiles

LIMIT = quantiles.SMALLEST_LIMIT


def numbers(kind: str, count: int = 60_000) -> np.ndarray:
    generator = np.random.default_rng(3)
    return {
        "normal": generator.normal(size=count),
        "lognormal": np.exp(5 * generator.normal(size=count)),
        "offset": 1.5e9 + 1e6 * generator.random(count),
        "bits": generator.integers(0, 2**64, count, np.uint64).view(np.float64),
        "few": generator.integers(-50, 50, count).astype(float),
    }[kind]


def content(made: quantiles.Sketch) -> str:
    return json.dumps(quantiles.to_json(made))


@pytest.mark.parametrize("kind", ["normal", "lognormal", "offset", "bits", "few"])
def test_a_sketch_depends_on_the_multiset_alone(kind):
    values = numbers(kind)
    whole = quantiles.of(values, limit=LIMIT)
    generator = np.random.default_rng(1)
    for parts in (2, 7, 300):
        shuffled = generator.permutation(values)
        cuts = np.sort(generator.integers(0, len(values), parts))  # some parts may be empty
        made = [quantiles.of(part, limit=LIMIT) for part in np.split(shuffled, cuts)]
        flat = quantiles.merge(made)
        nested = quantiles.merge([quantiles.merge(made[1::2]), quantiles.merge(made[::2])])
        folded = made[0]
        for part in made[1:]:
            folded = quantiles.merge([part, folded])
        assert content(flat) == content(nested) == content(folded) == content(whole)
    distinct, counts = np.unique(values, return_counts=True)
    assert content(quantiles.of(distinct, counts, LIMIT)) == content(whole)


@pytest.mark.parametrize("kind", ["normal", "lognormal", "offset", "few"])
def test_quantiles_and_moments_are_numpys_within_the_stated_error(kind):
    values = numbers(kind)
    made = quantiles.of(values, limit=LIMIT)
    assert len(made.low) <= LIMIT
    assert (made.bits == 52) == (kind == "few")
    error = 2.0**-made.bits
    shares = np.linspace(0, 1, 1001)
    ranked = np.sort(values)[np.maximum(np.ceil(shares * len(values)).astype(int) - 1, 0)]
    found = quantiles.quantile(made, shares)
    assert (np.abs(found - ranked) <= error * np.abs(ranked)).all()
    assert (found[0], found[-1]) == (values.min(), values.max())
    assert (np.diff(found) >= 0).all()
    assert abs(quantiles.mean(made) - values.mean()) <= error * np.abs(values).mean() + 1e-12
    assert quantiles.deviation(made) == pytest.approx(values.std(), rel=1e-3)
    counts, edges = quantiles.histogram(made, 20)
    expected, expected_edges = np.histogram(values, 20)
    assert np.array_equal(edges, expected_edges)
    assert counts.sum() == len(values)
    assert np.abs(counts - expected).max() <= (0 if kind == "few" else 0.002 * len(values))


def test_a_bin_is_as_narrow_as_its_bits_say_and_no_bit_is_given_up_in_vain():
    for kind in ("normal", "lognormal", "offset"):
        made = quantiles.of(numbers(kind), limit=LIMIT)
        lowest = np.minimum(np.abs(made.low), np.abs(made.high))
        assert (made.high - made.low <= 2.0**-made.bits * lowest).all()
        mantissas = numbers(kind).view(np.uint64)
        assert len(np.unique(mantissas >> np.uint64(52 - made.bits))) == len(made.low)
        assert len(np.unique(mantissas >> np.uint64(51 - made.bits))) > LIMIT


def test_few_numbers_are_kept_exactly():
    made = quantiles.of([1.5, -0.0, 0.0, math.nan, 1.5, -7, 1e-45], limit=LIMIT)
    assert made.low.tolist() == made.high.tolist() == [-7, 0, 1e-45, 1.5]
    assert not np.signbit(made.low[1])
    assert (made.counts.tolist(), made.count) == ([1, 2, 1, 2], 6)
    values = [-7, 0, 0, 1e-45, 1.5, 1.5]
    assert quantiles.mean(made) == np.mean(values)
    assert quantiles.deviation(made) == pytest.approx(np.std(values), rel=1e-15)
    counts, _ = quantiles.histogram(made, [-7.0, 0.0, 1.0, 1.5])
    assert counts.tolist() == np.histogram(values, [-7.0, 0.0, 1.0, 1.5])[0].tolist() == [1, 3, 2]


def test_numbers_beyond_float32_count_as_its_ends():
    made = quantiles.of([math.inf, -math.inf, 1e300, 5.0], limit=LIMIT)
    assert made.low.tolist() == [-quantiles.LARGEST, 5.0, quantiles.LARGEST]
    assert np.isfinite([quantiles.mean(made), quantiles.deviation(made)]).all()


def test_an_empty_sketch_changes_nothing():
    empty, other = quantiles.of([], limit=LIMIT), quantiles.of(numbers("normal"), limit=LIMIT)
    assert content(quantiles.merge([empty, other, empty])) == content(other)
    assert content(quantiles.merge([empty, empty])) == content(empty)
    assert quantiles.merge([]).count == 0
    assert np.isnan(
        [*quantiles.quantile(empty, [0.5]), quantiles.mean(empty), quantiles.deviation(empty)]
    ).all()
    assert quantiles.histogram(empty, 4)[0].tolist() == [0] * 4


def test_json_keeps_every_bit():
    for kind in ("bits", "lognormal"):
        made = quantiles.of(numbers(kind), limit=LIMIT)
        assert content(quantiles.from_json(json.loads(content(made)))) == content(made)


def test_limits_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="limit is 10"):
        quantiles.of([1.0], limit=10)
    with pytest.raises(ValueError, match=r"\[8192, 16384\] cannot be merged"):
        quantiles.merge([quantiles.of([1.0], limit=8192), quantiles.of([1.0])])
