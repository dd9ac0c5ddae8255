import jax.numpy as jnp
import numpy as np

from framework import metrics, ranking

# Rows 0 and 1 are kept; ids 2 … 6 are the catalogue; row 7 only fills up the table.
SCORES = jnp.array(
    [
        [9.0, 9.0, 0.5, 0.7, 0.5, 0.1, 0.5, 9.0],
        [9.0, 9.0, 0.2, 0.2, 0.2, 0.2, 0.2, 9.0],
    ]
)
SEEN = jnp.array([[3, 0], [2, 5]])


def test_seen_items_kept_rows_and_filling_are_excluded():
    allowed = ranking.exclude(SCORES, SEEN, catalogue=7)
    excluded = np.isneginf(np.asarray(allowed))
    assert [list(np.flatnonzero(row)) for row in excluded] == [[0, 1, 3, 7], [0, 1, 2, 5, 7]]


def test_ties_go_to_the_lower_id_in_rank_and_list_alike():
    allowed = ranking.exclude(SCORES, SEEN, catalogue=7)
    # User 0: 2, 4, 6 tie at .5, then 5 at .1. User 1: 3, 4, 6 tie.
    _, lists = ranking.top_k(allowed, 3)
    assert lists.tolist() == [[2, 4, 6], [3, 4, 6]]
    for position in range(3):
        ranks = ranking.rank(allowed, lists[:, position])
        assert ranks.tolist() == [position + 1, position + 1]
    assert ranking.rank(allowed, jnp.array([5, 6])).tolist() == [4, 3]


def test_an_excluded_target_is_last():
    allowed = ranking.exclude(SCORES, SEEN, catalogue=7)
    assert ranking.rank(allowed, jnp.array([3, 5])).tolist() == [8, 8]


def test_metrics_against_a_hand_computed_table():
    ranks = np.array([1, 2, 3, 10, 11])
    assert metrics.hit_rate(ranks, 10).tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(
        metrics.ndcg(ranks, 10), [1, 0.6309297536, 0.5, 0.2890648263, 0], atol=1e-10
    )
    np.testing.assert_allclose(metrics.mrr(ranks, 3), [1, 0.5, 1 / 3, 0, 0])


def test_coverage_and_popularity_bias_by_hand():
    lists = np.array([[2, 3, 4], [2, 3, 5], [0, 0, 0]])
    assert metrics.coverage(lists, 2, catalogue=4) == 0.5
    # Events: item 2 six times, 3 three times, 4 once. Mean over events: (36 + 9 + 1) / 10 = 4.6.
    counts = np.array([0, 0, 6, 3, 1, 0])
    assert metrics.popularity_bias(lists[:2], 1, counts) == 6 / 4.6
    assert metrics.popularity_bias(lists[:2], 2, counts) == 4.5 / 4.6


def test_bootstrap_interval_has_the_width_of_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 4000)
    low, high = metrics.bootstrap_interval(values, 2000, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert abs(low - (values.mean() - half)) < 0.1 * half
    assert abs(high - (values.mean() + half)) < 0.1 * half
