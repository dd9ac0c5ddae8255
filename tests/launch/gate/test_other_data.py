"""A champion that was judged on other data is judged anew on the candidate's.

The later events lack some items of the earlier ones, and have new ones: ids mean other items.
"""

import csv
import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

import podway
from podway.export import layout
from podway.export.versions import promote, publish
from podway.framework import artifact
from podway.framework.comparison import evaluation
from podway.framework.config import DataCheck, Experiment, Gate, Limits, NotWorse
from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.metrics.ranking import UNRANKED
from podway.framework.runs import run as runs
from podway.framework.schema.schema import FIRST_VALUE
from podway.launch import stages
from podway.launch.gate import contender, gate, ranked
from podway.launch.gate.contender import Options
from tests.launch import world

DEPTH = 10
GATE = Gate(
    rules=(
        NotWorse("ndcg@10", margin=0.9, relative=False),
        NotWorse("hr@20", margin=0.9),
        DataCheck(limits=Limits(rows=1, psi=99.0)),
    ),
    least_users=10,
)


def later(folder: pathlib.Path) -> Experiment:
    """The shop over events in which items have gone, and come."""
    names = {f"i{item}": f"i{item + 5}" for item in range(world.ITEMS)}
    with (folder / "later.csv").open("w", newline="") as file:
        rows = [(user, names[item], at) for user, item, at in world.events()[::-1]]
        csv.writer(file).writerows([("customer", "product", "at"), *rows])
    shop = world.shop(folder)
    data = world.data(folder, path=str(folder / "later.csv"))
    trainer = dataclasses.replace(shop.trainer, steps=20, evaluate_every=20, checkpoint_every=20)
    return dataclasses.replace(shop, data=data, trainer=trainer, gate=GATE)


@pytest.fixture(scope="module")
def workdir(shop, folder, tmp_path_factory) -> pathlib.Path:
    """Version 1 of the earlier data serves; 2 is a run of the later, published as it is beside 1:
    what is asked of a candidate that has its run is answered by that."""
    path = tmp_path_factory.mktemp("later") / "w"
    shutil.copytree(folder / "w", path)
    dataset, run = stages.evaluate(later(folder), path)
    manifest = artifact.read(run, "run")
    first = contender.find("shop", 1, path)
    publish.publish(
        pathlib.Path(first.place.directory),
        name="shop",
        workdir=path,
        serve=False,
        version="made-up",
        config={},
        inputs={"run": manifest.version, "dataset": dataset.manifest.version},
        code="made up",
        details=first.manifest.details,
    )
    return path


def obvious(champion: str, dataset: Dataset) -> list[int]:
    """Ranks by the public API: each test user's history as texts, and the list that it gets."""
    model, values = podway.load(champion), dataset.vocabulary("item").values
    known, blocks, found = set(model.items), dataset.blocks("test"), []
    columns = blocks.read(np.arange(len(blocks.rows)), ["item", "target"])
    item, targets = columns["item"], columns["target"]
    assert isinstance(item, Ragged)
    for row, target in enumerate(targets):
        ids = item.values[item.offsets[row] : item.offsets[row + 1]]
        history = [values[each] or "one that this dataset lacks, too" for each in ids]
        if not known & {*history}:
            found.append(None)
            continue
        (listed,) = model.recommend([history], k=DEPTH).items
        wanted = values[target] if target >= FIRST_VALUE else None
        found.append(list(listed).index(wanted) + 1 if wanted in listed else UNRANKED)
    return found


def test_ranks_as_served_are_those_of_a_user_who_asks(workdir, folder):
    dataset = stages.data(later(folder), workdir)
    first = contender.find("shop", 1, workdir)
    for directory in (first.run, first.place.directory):
        found = ranked.as_served(podway.load(directory).engine, dataset, DEPTH)
        expected = obvious(str(directory), dataset)
        asked = [at for at, rank in enumerate(expected) if rank is not None]
        assert len(asked) > 40
        assert [found[at] for at in asked] == [expected[at] for at in asked]
        assert 5 < (found <= DEPTH).sum() < len(found) - 5


def test_on_its_own_data_a_version_is_ranked_as_it_was_evaluated(workdir, shop):
    """Up to the depth of what it answers."""
    experiment, _ = runs.described(shop.run)
    dataset = Dataset.open(shop.dataset)
    ranks = evaluation.read_ranks(shop.evaluation)[evaluation.own_name(experiment)]
    found = ranked.as_served(podway.load(shop.run).engine, dataset, DEPTH)
    np.testing.assert_array_equal(found, np.where(ranks <= DEPTH, ranks, UNRANKED))


def test_the_champion_is_judged_on_the_candidates_data(workdir, tmp_path, folder):
    """By its run, and where that is gone, by what was published of it, alike."""
    options = Options(workdir, experiment=later(folder))
    verdict, _ = gate.judge("shop", 2, options)
    ndcg, deep, data = verdict.findings[1:]
    assert verdict.by == ranked.AS_SERVED
    assert ndcg.outcome == "passed"
    assert (ndcg.candidate, ndcg.champion) != (None, None)
    assert deep.outcome == "not judged"
    assert "hr@20 looks at 20 items, and a version answers with 12" in deep.reason
    assert data.outcome == "failed"
    assert "new values of item in train" in data.reason

    copy = tmp_path / "w"
    shutil.copytree(workdir, copy)
    shutil.rmtree(contender.find("shop", 1, copy).run)
    gone, _ = gate.judge("shop", 2, Options(copy, experiment=later(folder)))
    assert dataclasses.asdict(gone.findings[1]) == pytest.approx(dataclasses.asdict(ndcg))
    shutil.rmtree(contender.find("shop", 1, copy).dataset)
    blind, _ = gate.judge("shop", 2, Options(copy, experiment=later(folder), again=True))
    assert blind.findings[1].champion == ndcg.champion
    assert "is gone, so there is nothing to check against" in blind.findings[3].reason
    assert not blind.passed
    assert promote.numbers(layout.models(copy) / "shop") == [1, 2]
