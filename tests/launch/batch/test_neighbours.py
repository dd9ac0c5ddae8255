"""Items that are alike: exact lists, against all similarities in order."""

import numpy as np
import pyarrow.parquet as pq
import pytest

import podway
from podway.launch.batch import neighbours
from tests.launch.test_recommend import podway as command
from tests.launch.test_recommend import workdir

__all__ = ["workdir"]


@pytest.mark.parametrize("measure", ["cosine", "dot"])
@pytest.mark.parametrize("products", [1, 100, 1 << 24])
def test_lists_are_those_of_all_pairs_with_ties_by_place(measure, products, monkeypatch):
    monkeypatch.setattr(neighbours, "_PRODUCTS", products)
    draw = np.random.default_rng(1)
    vectors = draw.integers(-2, 3, (40, 3)).astype(np.float32)  # with equals, and zeros
    vectors[7] = 0
    items = draw.permutation(40)[:25]
    found = neighbours.nearest(vectors, items, 6, measure)
    wide = vectors.astype(np.float32)
    if measure == "cosine":
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        wide = wide / np.where(lengths > 0, lengths, 1)
    for row, item in enumerate(items):
        every = wide[item] @ wide.T
        rounded = np.round(every, 5)
        order = [other for other in np.lexsort((np.arange(40), -rounded)) if other != item][:6]
        np.testing.assert_allclose(found.similarity[row], every[order], atol=1e-6)
        assert item not in found.nearest[row]
        assert len(set(found.nearest[row])) == 6
        if measure == "dot":  # whole numbers: ties are exact
            assert found.nearest[row].tolist() == order


def test_what_cannot_be_asked_is_said(run):
    vectors = np.ones((4, 2), np.float32)
    with pytest.raises(podway.RequestError, match="k is 4; give 1 to 3"):
        neighbours.nearest(vectors, np.arange(2), 4, "dot")
    vectors[2, 1] = np.nan
    with pytest.raises(podway.RequestError, match="the vectors of 1 items are not finite"):
        neighbours.nearest(vectors, np.arange(2), 2, "dot")
    with pytest.raises(podway.RequestError, match="1 of 2 items are unknown to run"):
        neighbours.places(run, (run.items[0], "zz"))


def test_the_command_prints_titles_or_writes_all(run, workdir, tmp_path):
    item = run.items[4]
    done = command("neighbours", "shop", item, "--k", "2", "--workdir", workdir)
    assert done.returncode == 0, done.stderr
    expected = neighbours.nearest(run.item_embeddings(), np.array([4]), 2, "cosine")
    for other in expected.nearest[0]:
        assert run.items[other] in done.stdout
        assert run.attributes["title"][other] in done.stdout
    output = tmp_path / "n.parquet"
    options = ("--items", "all", "--k", "3", "--measure", "dot", "--output", str(output))
    done = command("neighbours", "shop", *options, "--workdir", workdir)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(output)
    assert table.column_names == ["item", "rank", "neighbour", "similarity", "title"]
    assert table["item"].to_pylist()[::3] == list(run.items)
    assert table["rank"].to_pylist()[:3] == [1, 2, 3]
    done = command("neighbours", "shop", "--workdir", workdir)
    assert "give either ITEM …, ids of items, or --items all|FILE" in done.stderr
