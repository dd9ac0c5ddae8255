import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.metrics import ranking, top_k

# Rows 0 and 1 are kept; ids 2 … 6 are the catalogue; row 7 only fills up the table.
SCORES = jnp.array(
    [
        [9.0, 9.0, 0.5, 0.7, 0.5, 0.1, 0.5, 9.0],
        [9.0, 9.0, 0.2, 0.2, 0.2, 0.2, 0.2, 9.0],
    ]
)
SEEN = jnp.array([[3, 0], [2, 5]])


def test_seen_items_kept_rows_and_filling_are_excluded():
    allowed = top_k.exclude(SCORES, SEEN, catalogue=7)
    excluded = np.isneginf(np.asarray(allowed))
    assert [list(np.flatnonzero(row)) for row in excluded] == [[0, 1, 3, 7], [0, 1, 2, 5, 7]]


def test_ties_go_to_the_lower_id_in_rank_and_list_alike():
    allowed = top_k.exclude(SCORES, SEEN, catalogue=7)
    # User 0: 2, 4, 6 tie at .5, then 5 at .1. User 1: 3, 4, 6 tie.
    _, lists = top_k.top_k(allowed, 3)
    assert lists.tolist() == [[2, 4, 6], [3, 4, 6]]
    for position in range(3):
        ranks = top_k.rank(allowed, lists[:, position])
        assert ranks.tolist() == [position + 1, position + 1]
    assert top_k.rank(allowed, jnp.array([5, 6])).tolist() == [4, 3]


def test_an_excluded_target_is_last():
    allowed = top_k.exclude(SCORES, SEEN, catalogue=7)
    assert top_k.rank(allowed, jnp.array([3, 5])).tolist() == [ranking.UNRANKED] * 2


def test_metrics_against_a_hand_computed_table():
    ranks = np.array([1, 2, 3, 10, 11])
    assert ranking.hit_rate(ranks, 10).tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(
        ranking.ndcg(ranks, 10), [1, 0.6309297536, 0.5, 0.2890648263, 0], atol=1e-10
    )
    np.testing.assert_allclose(ranking.mrr(ranks, 3), [1, 0.5, 1 / 3, 0, 0])


def test_coverage_and_popularity_bias_by_hand():
    lists = np.array([[2, 3, 4], [2, 3, 5], [0, 0, 0]])
    assert ranking.coverage(lists, 2, catalogue=4) == 0.5
    # Events: item 2 six times, 3 three times, 4 once. Mean over events: (36 + 9 + 1) / 10 = 4.6.
    counts = np.array([0, 0, 6, 3, 1, 0])
    assert ranking.popularity_bias(lists[:2], 1, counts) == 6 / 4.6
    assert ranking.popularity_bias(lists[:2], 2, counts) == 4.5 / 4.6


def test_bootstrap_interval_has_the_width_of_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 4000)
    low, high = ranking.bootstrap_interval(values, 2000, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert abs(low - (values.mean() - half)) < 0.1 * half
    assert abs(high - (values.mean() + half)) < 0.1 * half


def test_novelty_by_hand():
    # Shares 1/2, 1/4 and, of an item without events, as of one event, 1/8.
    counts = np.array([0, 0, 4, 2, 0, 2])
    lists = np.array([[2, 3], [4, 0]])
    assert ranking.novelty(lists, 2, counts) == (1 + 2 + 3) / 3
    assert ranking.novelty(lists, 1, counts) == (1 + 3) / 2


def test_sampled_ranks_are_distributed_as_those_of_drawn_samples():
    """Against the procedure itself: draw negatives from the candidates, and count those ahead."""
    rank, candidates, negatives, draws = 12, 50, 9, 20_000
    generator = np.random.default_rng(0)
    others = np.array([place for place in range(1, candidates + 1) if place != rank])
    drawn = [(generator.permutation(others)[:negatives] < rank).sum() + 1 for _ in range(draws)]
    many = np.full(draws, rank)
    found = ranking.sampled_ranks(many, np.full(draws, candidates), negatives, seed=1)
    expected, seen = (np.bincount(each, minlength=11) / draws for each in (drawn, found))
    np.testing.assert_allclose(seen, expected, atol=0.015)


def test_sampled_ranks_at_the_edges():
    ranks, candidates = np.array([1, 5, 5, 128]), np.array([5, 5, 3, 100])
    # The best stays first, the last of all comes last; what is no candidate is in no list.
    nowhere = [ranking.UNRANKED] * 2
    assert ranking.sampled_ranks(ranks, candidates, 4, seed=0).tolist() == [1, 5, *nowhere]
    assert ranking.sampled_ranks(ranks, candidates, 100, seed=0).tolist() == [1, 5, *nowhere]


def factors_with_ties(rows=37, users=11, width=3):
    """Whole numbers, so that products are exact and many are equal."""
    generator = np.random.default_rng(3)
    query, table = (generator.integers(-2, 3, (size, width)) for size in (users, rows))
    return top_k.Factors(jnp.array(query, jnp.float32), jnp.array(table, jnp.float32))


@pytest.mark.parametrize("block", [5, 12, 100])
@pytest.mark.parametrize("excluding", [True, False])
def test_blocks_rank_as_all_scores_at_once_do(block, excluding):
    factors, catalogue = factors_with_ties(), 33
    generator = np.random.default_rng(4)
    seen = jnp.array(generator.integers(0, 37, (11, 6)), jnp.int32) if excluding else None
    scores = np.asarray(factors.query) @ np.asarray(factors.table).T
    allowed = np.where((np.arange(37) >= 2) & (np.arange(37) < catalogue), scores, -np.inf)
    if excluding:
        np.put_along_axis(allowed, np.asarray(seen), -np.inf, axis=1)
    order = np.argsort(-allowed, axis=1, kind="stable")
    best, ids = top_k.blocked_top_k(factors, 9, block, seen, catalogue)
    np.testing.assert_array_equal(ids, order[:, :9])
    np.testing.assert_array_equal(best, np.take_along_axis(allowed, order[:, :9], axis=1))
    rank = jax.jit(lambda wanted: top_k.blocked_rank(factors, wanted, block, seen, catalogue))
    for target in range(37):
        expected = [
            ranking.UNRANKED if np.isneginf(row[target]) else list(place).index(target) + 1
            for row, place in zip(allowed, order, strict=True)
        ]
        assert rank(jnp.full(11, target)).tolist() == expected
    wanted = jnp.arange(11) + 1
    exact = np.log(np.exp(scores[:, 2:33]).sum(1)) - scores[np.arange(11), wanted]
    exact[0] = np.inf  # the id 1 is no item
    found = top_k.blocked_negative_log_likelihood(factors, wanted, block, catalogue)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_more_places_than_items_in_blocks():
    best, _ = top_k.blocked_top_k(factors_with_ties(), 36, 5, None, catalogue=6)
    assert np.isneginf(np.asarray(best)).sum(1).tolist() == [32] * 11
