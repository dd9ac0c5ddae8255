import dataclasses

import numpy as np
import pytest

from podway.framework.comparison import evaluation
from podway.framework.config import Evaluation
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.ranks import rank_split, summarize
from podway.framework.evaluation.recommendation import RankingEvaluator
from podway.framework.input.interactions import train_counts
from podway.framework.metrics import ranking
from podway.framework.models.ials import Ials
from podway.framework.models.popularity import Popularity
from podway.framework.models.sequence_knn import SequenceKnn

EVALUATION = Evaluation()


def fitted(model, dataset, options=EVALUATION):
    return answers(RankingEvaluator(model, options), dataset.schema, model.fit(dataset, 0))


def test_ranks_of_a_scorer_that_knows_the_walk(dataset, histories):
    """A scorer that prefers the item after the last one; its hits can be counted by hand."""
    items = dataset.schema["item"].size

    def after_the_last(batch):
        history = batch["item"]
        scores = np.zeros((len(history), items), np.float32)
        for row, values in enumerate(history):
            last = values[values > 0][-1] if values.any() else 2  # a row that fills up
            scores[row, (last - 2 + 1) % (items - 2) + 2] = 1.0
        return scores

    options = Evaluation(cutoffs=(1, 3), batch_size=20, bootstrap=200)
    ranks = rank_split(after_the_last, dataset, "test", options)

    def first(history):
        following = (history[-1] - 2 + 1) % (items - 2) + 2
        # All else ties at zero, which goes to the lowest id not seen.
        return next(item for item in [following, *range(2, items)] if item not in history)

    hits = [first(h[:-1]) == h[-1] for h in histories]
    table = summarize(ranks, options, train_counts(dataset))
    cell = table["hr@1"]
    assert 0.5 < cell["value"] == np.mean(hits)
    assert cell["low"] < cell["value"] < cell["high"]
    assert ranks.lists.shape == (len(histories), 3)


def test_seen_items_never_stand_in_a_list(dataset, histories):
    options = Evaluation(cutoffs=(5,), batch_size=32)
    ranks = rank_split(fitted(Popularity(), dataset), dataset, "test", options)
    seen = [set(h[:-1].tolist()) for h in histories]
    # The order of the shards is the order in which this dataset was written: by user.
    assert not any(set(row.tolist()) & items for row, items in zip(ranks.lists, seen, strict=True))


@pytest.mark.parametrize("batch_size", [7, 96])
def test_ranks_do_not_depend_on_the_batch_size(dataset, batch_size):
    scorer = fitted(SequenceKnn(), dataset)
    one = rank_split(scorer, dataset, "test", Evaluation(batch_size=32))
    other = rank_split(scorer, dataset, "test", Evaluation(batch_size=batch_size))
    np.testing.assert_array_equal(one.target, other.target)
    np.testing.assert_array_equal(one.lists, other.lists)


def test_table_has_a_column_per_model():
    cell = {"value": 0.25, "low": 0.2, "high": 0.3}
    text = evaluation.format_table({"A": {"hr@10": cell}, "B": {"hr@10": {"value": 1.0}}})
    assert text.splitlines() == [
        "       A                        B",
        "hr@10  0.2500 [0.2000, 0.3000]  1.0000",
    ]


def test_what_was_seen_may_come_again(dataset, histories):
    """A scorer that always names the last item: never right by the rules, until it may."""

    def the_last(batch):
        history = batch["item"]
        scores = np.zeros((len(history), dataset.schema["item"].size), np.float32)
        for row, values in enumerate(history):
            if values.any():  # not a row that fills up the batch
                scores[row, values[values > 0][-1]] = 1.0
        return scores

    options = Evaluation(cutoffs=(1,), batch_size=32, bootstrap=10)
    filtered = rank_split(the_last, dataset, "test", options)
    assert not any(best in h[:-1] for best, h in zip(filtered.lists[:, 0], histories, strict=True))
    again = dataclasses.replace(options, exclude_seen=False)
    ranks = rank_split(the_last, dataset, "test", again)
    assert ranks.lists[:, 0].tolist() == [h[-2] for h in histories]
    repeats = [h[-1] == h[-2] for h in histories]
    table = summarize(ranks, again, train_counts(dataset))
    assert table["hr@1"]["value"] == np.mean(repeats)
    assert "nll" not in table


def test_the_likelihood_is_of_all_items_seen_or_not(dataset, histories):
    items = dataset.schema["item"].size
    logits = np.random.default_rng(0).normal(size=items).astype(np.float32)

    def scorer(batch):
        return np.tile(logits, (len(batch["item"]), 1))

    options = Evaluation(cutoffs=(1,), batch_size=32, bootstrap=10)
    ranks = rank_split(scorer, dataset, "test", options)
    each = np.log(np.exp(logits[2:]).sum()) - logits[[h[-1] for h in histories]]
    np.testing.assert_allclose(ranks.nll, each, rtol=1e-5)
    counts = train_counts(dataset)
    table = summarize(ranks, options, counts, likelihood=True)
    assert table["nll"]["value"] == pytest.approx(each.mean(), rel=1e-5)
    first = np.arange(len(each)) < 5
    unknown = dataclasses.replace(
        ranks, nll=np.where(first, np.inf, ranks.nll), item=np.where(first, 1, ranks.item)
    )
    table = summarize(unknown, options, counts, likelihood=True)
    assert table["nll"]["value"] == pytest.approx(each[5:].mean(), rel=1e-5)
    text = evaluation.format_table({"A": table, "B": {name: table[name] for name in ("hr@1",)}})
    assert text.splitlines()[-1].endswith("–")


def test_the_facts_of_each_example_stand_beside_its_rank(dataset, histories):
    options = Evaluation(cutoffs=(5,), batch_size=32)
    ranks = rank_split(fitted(Popularity(), dataset), dataset, "test", options)
    items = dataset.schema["item"].size - 2
    assert ranks.item.tolist() == [h[-1] for h in histories]
    assert ranks.history.tolist() == [len(h) - 1 for h in histories]
    assert ranks.candidates.tolist() == [items - len(set(h[:-1].tolist())) for h in histories]
    everything = dataclasses.replace(options, exclude_seen=False)
    ranks = rank_split(fitted(Popularity(), dataset), dataset, "test", everything)
    assert set(ranks.candidates.tolist()) == {items}


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_factors_in_blocks_are_evaluated_as_their_scores_are(dataset, exclude_seen):
    model = Ials(width=8, epochs=2)
    options = Evaluation(cutoffs=(5, 10), batch_size=32, exclude_seen=exclude_seen)
    whole = rank_split(fitted(model, dataset), dataset, "test", options)
    factors = fitted(model, dataset, dataclasses.replace(options, score_block_items=7))
    for block in (7, 1000):
        blocked = dataclasses.replace(options, score_block_items=block)
        parts = rank_split(factors, dataset, "test", blocked)
        np.testing.assert_array_equal(parts.target, whole.target)
        np.testing.assert_array_equal(parts.lists, whole.lists)
        np.testing.assert_allclose(parts.nll, whole.nll, rtol=1e-5)


def test_sampled_metrics_come_only_when_asked_for(dataset):
    options = Evaluation(cutoffs=(5,), batch_size=32, bootstrap=10)
    ranks = rank_split(fitted(SequenceKnn(), dataset), dataset, "test", options)
    plain = summarize(ranks, options, train_counts(dataset))
    assert not any(name.startswith("sampled") for name in plain)
    asked = dataclasses.replace(options, sampled_negatives=10)
    table = summarize(ranks, asked, train_counts(dataset))
    assert table["sampled_hr@5"]["value"] > table["hr@5"]["value"] == plain["hr@5"]["value"]
    expected = ranking.novelty(ranks.lists, 5, train_counts(dataset))
    assert table["novelty@5"] == {"value": expected}


def test_slices_follow_the_metrics_of_the_table():
    cell = {"value": 0.25, "low": 0.2, "high": 0.3}
    sliced = {f"{name}@10 [target head]": {**cell, "users": 1234} for name in ("hr", "ndcg")}
    text = evaluation.format_table({"A": {"hr@10": cell} | sliced})
    assert text.splitlines()[1:] == [
        "hr@10                                0.2500 [0.2000, 0.3000]",
        "ndcg@10 [target head] (1,234 users)  0.2500 [0.2000, 0.3000]",
    ]
