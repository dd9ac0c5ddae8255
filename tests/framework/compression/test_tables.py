from typing import Any

import numpy as np
import pytest

from podway.framework import config
from podway.framework.compression import convert
from podway.framework.compression.low_rank import LowRank
from podway.framework.compression.vocabulary import RareItems
from podway.framework.error import ConfigError
from podway.framework.formats import low_rank, matrix, shared_rows
from podway.framework.input.interactions import train_counts
from podway.framework.runs import run


def test_the_error_is_that_of_the_singular_values_left_out():
    table = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    stored = low_rank.decompose(table, 4)
    values = np.linalg.svd(table.astype(np.float64), compute_uv=False)
    error = np.linalg.norm(np.asarray(stored.dense()) - table)
    np.testing.assert_allclose(error, np.sqrt((values[4:] ** 2).sum()), rtol=1e-5)


def test_shared_rows_by_hand():
    table = np.array([[1, 1], [2, 2], [4, 0], [8, 4], [0, 1]], np.float32)
    shared = np.array([False, False, True, True, False])
    stored: Any = shared_rows.share(table, shared, np.array([0, 9, 3, 1, 5]))
    assert stored.place.tolist() == [0, 1, 3, 3, 2]
    # (3·[4, 0] + 1·[8, 4]) / 4
    assert np.asarray(stored.table).tolist() == [[1, 1], [2, 2], [0, 1], [5, 1]]
    never: Any = shared_rows.share(table, shared, np.zeros(5))
    assert np.asarray(never.table)[-1].tolist() == [6, 2]


def test_the_run_is_of_the_nearest_table(walks, trained, dataset, workdir):
    experiment = config.compressed(walks, LowRank(rank=4))
    directory = convert.convert(experiment, dataset, trained, workdir)
    _, manifest, parameters = run.load(directory)
    assert parameters["item/embedding/low_rank/left"].shape == (128, 4)
    assert 0 < manifest.details["validation"]["ndcg@5"] <= 1
    _, _, whole = run.load(trained)
    found = matrix.collect(parameters)["item/embedding"]
    expected = low_rank.decompose(whole["item/embedding"], 4).dense()
    np.testing.assert_array_equal(found.dense(), expected)
    with pytest.raises(ConfigError, match=r"compression.rank is 15, by which item/embedding, 128"):
        convert.convert(config.compressed(walks, LowRank(rank=15)), dataset, trained, workdir)


def test_rare_items_share_a_row(walks, trained, dataset, workdir):
    counts = train_counts(dataset)
    limit = int(np.median(counts[2:]))
    experiment = config.compressed(walks, RareItems(min_events=limit))
    directory = convert.convert(experiment, dataset, trained, workdir)
    stored = matrix.collect(run.load(directory)[2])["item/embedding"]
    rare = np.flatnonzero(counts < limit)
    rare = rare[rare >= 2]
    place = np.asarray(stored.place)
    assert len({*place[rare]}) == 1
    assert len({*place}) == len(place) - len(rare) + 1
    with pytest.raises(ConfigError, match=r"compression.min_events is 1, and 0 items have fewer"):
        convert.convert(
            config.compressed(walks, RareItems(min_events=1)), dataset, trained, workdir
        )
    with pytest.raises(ConfigError, match="item/embedding is in a format of its own already"):
        twice = config.compressed(walks, LowRank(rank=4), RareItems())
        convert.convert(twice, dataset, directory, workdir)
