import numpy as np
import pytest

from podway.framework.embedding import capacity


def zipf_counts(rows: int, exponent: float) -> np.ndarray:
    """Counts in the order of ids: falling, none of PADDING."""
    counts = np.zeros(rows)
    counts[2:] = np.maximum(1e9 / np.arange(1, rows - 1) ** exponent, 1).astype(np.int64)
    return counts


def loads(counts, draws, hops, generator) -> list[int]:
    """The fullest buffer of each hop in one step: ids drawn, made distinct, and sent."""
    devices = int(np.prod(hops))
    probabilities = counts / counts.sum()
    held = [
        np.unique(generator.choice(len(counts), draws, p=probabilities)) for _ in range(devices)
    ]
    fullest, reached = [], 1
    for hop in hops:
        # Devices are numbered so that a hop is among those that differ in one digit.
        groups: dict[int, list[np.ndarray]] = {}
        most = 0
        for device, ids in enumerate(held):
            digit = ids // reached % hop
            most = max(most, np.bincount(digit, minlength=hop).max())
            for place in range(hop):
                to = device - (device // reached % hop - place) * reached
                groups.setdefault(to, []).append(ids[digit == place])
        held = [np.unique(np.concatenate(groups[device])) for device in range(devices)]
        fullest.append(most)
        reached *= hop
    return fullest


@pytest.mark.parametrize("hops", [(16,), (4, 4)])
@pytest.mark.parametrize("exponent", [0.6, 1.1, 1.5])
def test_capacity_holds_zipf_ids_and_not_much_more(hops, exponent):
    counts, draws = zipf_counts(200_000, exponent), 4096
    generator = np.random.default_rng(0)
    found = [loads(counts, draws, hops, generator) for _ in range(20)]
    sizes = capacity.capacities(draws, hops, len(counts), counts, margin=1.0)
    for size, most in zip(sizes, np.max(found, axis=0), strict=True):
        assert most <= size <= 1.6 * most + 16


def test_capacity_without_counts_holds_what_has_no_duplicates():
    generator = np.random.default_rng(0)
    counts = np.ones(1 << 20)
    (size,) = capacity.capacities(4096, (16,), len(counts))
    found = max(loads(counts, 4096, (16,), generator)[0] for _ in range(10))
    assert found <= size <= 1.3 * found


def test_expectation_equals_simulation():
    counts = zipf_counts(5000, 1.0)
    generator = np.random.default_rng(0)
    p = counts / counts.sum()
    means = np.zeros(8)
    for _ in range(200):
        means += np.bincount(np.unique(generator.choice(5000, 2000, p=p)) % 8, minlength=8) / 200
    assert abs(capacity.expected(2000, 8, 5000, counts) - means.max()) < 0.01 * means.max()


def test_the_head_of_the_counts_bounds_the_whole():
    counts = zipf_counts(1_000_000, 1.1)
    whole = capacity.expected(10_000, 64, len(counts), counts)
    for head, looseness in ((100_000, 2.0), (600_000, 1.3)):
        known = capacity.expected(10_000, 64, len(counts), counts[:head])
        assert whole <= known < looseness * whole


def test_capacity_is_never_more_than_there_is_to_ask():
    assert capacity.capacities(8, (4,), 1 << 20) == (8,)
    assert capacity.capacities(1 << 20, (4,), 128) == (32,)
    assert capacity.arriving(1 << 20, (4,), 128) == (128,)
    assert capacity.capacities(4096, (4,), 1 << 20, np.zeros(10)) == capacity.capacities(
        4096, (4,), 1 << 20
    )


def test_margin_makes_room_up_to_the_bound_that_needs_no_counts():
    counts = zipf_counts(200_000, 1.1)
    sizes = [capacity.capacities(4096, (16,), 200_000, counts, m)[0] for m in (1.0, 1.25, 100.0)]
    assert sizes[0] < sizes[1] < sizes[2] == capacity.capacities(4096, (16,), 200_000)[0]


def test_two_hops_need_less_room_among_thousands():
    """What a device sends: buffers of two hops against those of one, on 4,096 devices."""
    (direct,) = capacity.capacities(30_000, (4096,), 1 << 30)
    first, second = capacity.capacities(30_000, (64, 64), 1 << 30)
    assert 64 * (first + second) < 0.75 * 4096 * direct
