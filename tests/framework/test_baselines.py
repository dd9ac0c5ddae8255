import numpy as np

from framework import baselines
from framework.input import Ragged


def ragged(*rows):
    return Ragged(
        np.concatenate([np.array(row, np.int32) for row in rows]),
        np.cumsum([0, *map(len, rows)]),
    )


def test_similarities_by_hand():
    # 2→3 at distance 1 twice, 2→4 at distance 2 once, 3→4 once, 4→2 once; no pair over the border.
    found = baselines._similarities(ragged([2, 3, 4, 2], [2, 3]), items=5, window=2).toarray()
    counts = {2: 3, 3: 2, 4: 1}
    expected = np.zeros((5, 5))
    for (a, b), weight in {
        (2, 3): 2,
        (2, 4): 0.5,
        (3, 4): 1,
        (3, 2): 0.5,
        (4, 2): 1,
    }.items():
        expected[a, b] = weight / np.sqrt(counts[a] * counts[b])
    np.testing.assert_allclose(found, expected)


def test_sequential_knn_weighs_the_latest_items_by_age():
    following = baselines._similarities(ragged([2, 3, 4, 2], [2, 3]), items=5, window=2)
    knn = baselines.SequentialKnn(following, items=5, latest=2, decay=0.5)
    scores = knn.scores(np.array([[4, 3, 2, 0], [0, 0, 0, 0]], np.int32))
    dense = following.toarray()
    np.testing.assert_allclose(scores[0], dense[2] + 0.5 * dense[3], rtol=1e-6)
    assert (scores[1] == 0).all()


def test_popularity_counts_training_events(dataset, histories):
    counts = baselines.Popularity.fit(dataset).scores(np.zeros((2, 3), np.int32))
    expected = np.bincount(
        np.concatenate([items[:-2] for items in histories]), minlength=counts.shape[1]
    )
    np.testing.assert_array_equal(counts, [expected, expected])
