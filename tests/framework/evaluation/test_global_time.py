"""Evaluation where the test split is what happened after a point in time, for all users at once."""

import dataclasses

import numpy as np
import pytest

from podway.beam.dataset import build, directory
from podway.framework.comparison.evaluation import compare
from podway.framework.config import Columns, Data, Evaluation, Experiment, GlobalTime
from podway.framework.evaluation import slices
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.ranks import rank_split
from podway.framework.evaluation.recommendation import RankingEvaluator
from podway.framework.input.batches import Dataset
from podway.framework.input.interactions import train_counts
from podway.framework.models.popularity import Popularity
from podway.framework.training import fitting

USERS, ITEMS, DAYS = 60, 12, 100


@pytest.fixture(scope="module")
def events() -> list[tuple[int, int, int]]:
    """(day, user, item), in order of time; item 99 comes up after training."""
    generator = np.random.default_rng(5)
    rows = []
    for user in range(USERS):
        days = np.sort(generator.choice(DAYS, int(generator.integers(4, 20)), replace=False))
        items = generator.integers(0, ITEMS, len(days))
        rows += [
            (int(d), user, 99 if d > 93 and user % 2 else int(i))
            for d, i in zip(days, items, strict=True)
        ]
    return sorted(rows)


@pytest.fixture(scope="module")
def experiment(events, tmp_path_factory) -> Experiment:
    path = tmp_path_factory.mktemp("raw") / "events.csv"
    lines = [f"u{user},i{item},{86_400 * day}" for day, user, item in events]
    path.write_text("\n".join(["user,item,time", *lines]) + "\n")
    return Experiment(
        name="later",
        data=Data(
            name="later",
            path=str(path),
            columns=Columns(user="user", item="item", time="time"),
            split=GlobalTime(validation=0.8, test=0.9),
            min_user_events=1,
            min_item_events=1,
            shards=2,
        ),
        model=Popularity(),
        evaluation=Evaluation(cutoffs=(3,), batch_size=16, bootstrap=10, exclude_seen=False),
    )


@pytest.fixture(scope="module")
def dataset(experiment, tmp_path_factory) -> Dataset:
    workdir = tmp_path_factory.mktemp("workdir")
    build(experiment.data, workdir)
    return Dataset.open(directory(experiment.data, workdir))


def test_popularity_until_then_is_evaluated_on_what_came_next(events, experiment, dataset):
    first, second = (events[int(share * len(events))][0] for share in (0.8, 0.9))
    before = [item for day, _, item in events if day < first]
    counts = {item: before.count(item) for item in set(before)}
    # The dataset's order of equal counts is its own: a hit is what more than half of 3 lead to.
    targets = {}
    for day, user, item in events:
        if day >= second and any(d < second and u == user for d, u, _ in events):
            targets.setdefault(user, item)
    assert dataset.examples("test") == len(targets) > 10
    evaluator = RankingEvaluator(Popularity(), experiment.evaluation)
    scores = answers(evaluator, dataset.schema, Popularity().fit(dataset, 0))
    ranks = rank_split(scores, dataset, "test", experiment.evaluation)
    ahead = {
        item: sum(other > count for other in counts.values()) for item, count in counts.items()
    }
    tied = {item: list(counts.values()).count(count) for item, count in counts.items()}
    known = sorted(item for item in targets.values() if item in counts)
    low = sorted(ahead[item] + 1 for item in known)
    high = sorted(ahead[item] + tied[item] for item in known)
    found = np.sort(ranks.target[ranks.item >= 2])
    assert (found >= low).all()
    assert (found <= high).all()
    assert (ranks.item < 2).sum() == len(targets) - len(known) > 0
    table = slices.summarize(ranks, experiment.evaluation, train_counts(dataset))
    assert table["hr@3 [target unknown]"] == {
        "value": 0.0,
        "low": 0.0,
        "high": 0.0,
        "users": len(targets) - len(known),
    }


def test_the_whole_stage_on_such_a_dataset(experiment, dataset, tmp_path):
    target = fitting.fit(experiment, dataset, tmp_path)
    evaluation = compare(experiment, target, dataset, tmp_path)
    text = (evaluation / "table.txt").read_text()
    assert "target unknown" in text
    asked = dataclasses.replace(experiment.evaluation, sampled_negatives=3)
    sampled = dataclasses.replace(experiment, evaluation=asked)
    evaluation = compare(sampled, target, dataset, tmp_path)
    assert "sampled_*: among 3 random items" in (evaluation / "table.txt").read_text()
    assert "sampled" not in text
