import fractions
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import synthetic
from podway.framework.error import ConfigError
from podway.framework.input import mixture
from podway.framework.input.batches import TrainBatches, read_ahead
from podway.framework.schema.schema import OUT_OF_VOCABULARY, PADDING, Feature, Vocabulary

SIZES = (500, 300, 120)


def make(directory, rows, values, offset=0, **feature):
    """A dataset of rows; each item's text is one of `values`, and `row` counts from `offset`."""
    generator = np.random.default_rng(offset)
    ids = generator.integers(2, len(values) + 2, rows).astype(np.int32)
    history = [ids[max(at - 3, 0) : at] for at in range(rows)]
    examples = pa.table(
        {
            "row": np.arange(offset, offset + rows, dtype=np.int32),
            "item": ids,
            "history": pa.array(history, pa.list_(pa.int32())),
        }
    )
    options = {"vocabulary": "item", "size": len(values) + 2} | feature
    return synthetic.write(
        directory,
        examples,
        [
            Feature("row", "feature", "int32"),
            Feature("item", "item", "int32", **options),
            Feature("history", "feature", "int32", True, max_length=3, **options),
        ],
        block_rows=32,
        vocabularies={"item": Vocabulary(("", "", *values), (0,) * (len(values) + 2))},
    )


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    values = [f"item {i}" for i in range(20)]
    return [make(folder / str(at), rows, values, offset=1000 * at) for at, rows in enumerate(SIZES)]


def batches(datasets, weights=(0.5, 0.25), batch_size=16, **changes):
    options: dict[str, Any] = {"steps": 200, "seed": 0, "window": 4} | changes
    others = list(zip(datasets[1:], weights, strict=True))
    return TrainBatches(
        datasets[0], {"row": 1, "item": 1}, batch_size=batch_size, others=others, **options
    )


def test_every_batch_has_each_dataset_in_proportion(datasets):
    source = batches(datasets, batch_size=70)
    total = np.zeros(3)
    for at in range(50):
        counts = np.bincount(source[at]["row"] // 1000, minlength=3)
        assert np.abs(counts - [40, 20, 10]).max() <= 1
        total += counts
        assert np.abs(total - np.array([40, 20, 10]) * (at + 1)).max() <= 1


@pytest.mark.parametrize("weights", [(1, 1), (0.3, 0.21, 7), (1e-3, 1), (5, 1, 1, 1, 1)])
def test_no_example_is_skipped_or_repeated_and_shares_are_exact(weights):
    class Counter:
        def read(self, start, stop):
            return {"at": np.arange(start, stop)}

    mixed = mixture.Mixture([Counter() for _ in weights], weights)  # type: ignore[arg-type]
    total, seen = 20_000, [0] * len(weights)
    at = mixed.read(0, total)["at"]
    for value in at.tolist():  # every value continues one of the counts
        seen[seen.index(value)] += 1
    expected = total * np.array(sorted(weights)) / sum(weights)
    assert np.abs(np.sort(seen) - expected).max() <= len(weights)
    for start, stop in ((0, 1), (777, 778), (19_000, 20_000)):
        np.testing.assert_array_equal(mixed.read(start, stop)["at"], at[start:stop])


def test_each_dataset_goes_through_its_own_epochs(datasets):
    source = batches(datasets, batch_size=7)
    rows = np.concatenate([source[at]["row"] for at in range(200)])
    for at, (data, size) in enumerate(zip(datasets, SIZES, strict=True)):
        alone = TrainBatches(data, {"row": 1}, batch_size=1, steps=size, seed=0, window=4)
        ours = rows[rows // 1000 == at][:size]
        np.testing.assert_array_equal(ours, [alone[i]["row"][0] for i in range(len(ours))])


def test_a_mixture_can_be_entered_anywhere_with_other_readers_and_parts(datasets):
    source = batches(datasets)
    whole = [source[at] for at in range(200)]
    for readers, start in ((1, 0), (2, 77), (4, 133)):
        rest = list(read_ahead(batches(datasets, readers=readers), start))
        for a, b in zip(rest, whole[start:], strict=True):
            np.testing.assert_array_equal(a["row"], b["row"])
    part = batches(datasets, rows=[(4, 9)])
    np.testing.assert_array_equal(part[50]["row"], whole[50]["row"][4:9])


def test_ids_of_another_vocabulary_are_translated_by_their_text(datasets, tmp_path):
    values = [f"item {i}" for i in (19, 7, 99, 3)]
    other = make(tmp_path / "other", 200, values, offset=5000)
    source = TrainBatches(
        datasets[0],
        {"row": 1, "item": 1, "history": 3},
        batch_size=400,
        steps=1,
        seed=0,
        window=4,
        others=[(other, 1.0)],
    )
    batch = source[0]
    theirs = batch["row"] >= 5000
    assert theirs.sum() == 200
    expected = {PADDING: PADDING, 2: 21, 3: 9, 4: OUT_OF_VOCABULARY, 5: 5}
    raw = TrainBatches(
        other, {"row": 1, "item": 1, "history": 3}, batch_size=200, steps=1, seed=0, window=4
    )[0]
    np.testing.assert_array_equal(batch["row"][theirs], raw["row"])
    for name in ("item", "history"):
        translated = np.vectorize(expected.get)(raw[name])
        np.testing.assert_array_equal(batch[name][theirs], translated)
    assert set(batch["item"][~theirs].tolist()) == set(range(2, 22)), "the first one's stay"


@pytest.mark.parametrize(
    ("values", "feature", "message"),
    [
        (["a", "b"], {}, "item has no value in common"),
        (["item 1"], {"size": 9}, "more than one out-of-vocabulary bucket"),
        (["item 1"], {"shape": (2,)}, "item is .*'shape': \\(2,\\)"),
        (["item 1"], {"vocabulary": None, "size": 3}, "'vocabulary': None"),
    ],
)
def test_datasets_that_do_not_fit_are_refused(datasets, tmp_path, values, feature, message):
    other = make(tmp_path / "other", 50, values, **feature)
    with pytest.raises(ConfigError, match=message):
        batches([datasets[0], other], weights=(1.0,))


@pytest.mark.parametrize("weights", [(0,), (-1,), (1e-9,)])
def test_weights_are_checked(datasets, weights):
    with pytest.raises(ConfigError, match="weights of a mixture"):
        batches(datasets[:2], weights=weights)


def test_shares_are_of_what_is_left():
    half, all_of_it = fractions.Fraction(1, 2), fractions.Fraction(1)
    assert mixture.shares([2, 1, 1]) == [half, half, all_of_it]
