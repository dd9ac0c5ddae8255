"""A worker on the small shop, in this process: what it refuses, prunes, trains and repeats."""
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import dataclasses
import math

import pytest

pytest.importorskip("optuna", reason="optuna is missing: pip install 'podway[sweep]'")

from podway.framework import artifact
from podway.framework.config.sweep import Asha, Choice, Float, Limit, Pruner, Sweep, Winner
from podway.framework.error import ConfigError
from podway.framework.input.batches import Dataset
from podway.framework.models.ease import Ease
from podway.framework.runs import run
from podway.launch import stages
from podway.launch.cost import rate
from podway.launch.sweep import candidates, outcome, quantities, study
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.worker import Worker
from tests.launch import world
from tests.launch.sweep import examples

RATE = Float("optimizer.learning_rate", 1e-5, 1e-1, log=True)
WIDTH = Choice("model.width", (8, 16))


def base(folder):
    experiment = world.shop(folder)
    trainer = dataclasses.replace(
        experiment.trainer, steps=20, evaluate_every=10, checkpoint_every=10
    )
    return dataclasses.replace(experiment, trainer=trainer)


def worked(folder, space, **changes):
    """The plan of a sweep, and its trials once a worker has done all."""
    made = Plan(base(folder), "shop.py", Sweep(space, **changes), str(folder / "w"))
    worker = Worker(made, 0)
    worker.search()
    worker.repeat()
    return made, study.read(study.open_study(made), made.sweep)


@pytest.fixture(scope="module")
def dataset(shop) -> Dataset:
    return Dataset.open(shop.dataset)


@pytest.fixture(scope="module")
def sizes(folder, dataset) -> dict[int, float]:
    model = base(folder).model
    return {
        width: quantities.measure(
            dataclasses.replace(base(folder), model=dataclasses.replace(model, width=width)),
            dataset,
            [],
        )["parameters"]
        for width in (8, 16)
    }


def runs(folder) -> set[str]:
    return {each.name for each in (folder / "w" / "runs" / "shop").iterdir() if each.is_dir()}


def test_a_trial_that_breaks_a_limit_is_refused_before_anything_is_trained(folder, sizes):
    before, limit = runs(folder), Limit("parameters", sizes[8])
    made, found = worked(
        folder,
        (WIDTH, Float("model.dropout", 0.0, 0.5)),
        limits=(limit,),
        trials=2,
        pruner=Pruner(),
        winner=Winner(candidates=1, seeds=1),
    )
    refused = [each for each in found if each.state == "refused"]
    assert {each.values["model.width"] for each in refused} <= {16}
    assert {each.values["model.width"] for each in found if each not in refused} == {8}
    assert [each.state for each in found if each not in refused] == ["complete"] * 2
    held = [dict(each.seconds) for each in found if each not in refused]
    assert all(set(each) == {"cpu"} and each["cpu"] > 0 for each in held), "devices were held"
    assert not any(each.seconds for each in refused), "and not for who was refused"
    assert len(runs(folder) - before) == 2, "one for each that was trained, and none for others"
    assert all(f"parameters is {sizes[16]:.4g}, above {sizes[8]:g}" == t.reason for t in refused)
    alone = dataclasses.replace(made.sweep, limits=(Limit("size", 1e-6),))
    none, all_ = worked(folder, alone.space, limits=alone.limits, trials=1)
    assert {each.state for each in all_} == {"refused"}
    assert len(all_) == 10, "it does not go on for ever"
    with pytest.raises(
        outcome.NoWinnerError, match=r"no trial of 10 .* size is .* MB, above 1e-06"
    ):
        outcome.of(none, all_)


@pytest.mark.slow
def test_pruning_stops_a_training(folder, shop):
    """Rates from next to nothing to good ones: who learns nothing is left at the first rung."""
    made, found = worked(
        folder, (RATE,), trials=5, pruner=Asha(factor=2), winner=Winner(candidates=2, seeds=2)
    )
    pruned = [each for each in found if each.state == "pruned"]
    done = [each for each in found if each.state == "complete"]
    assert len(found) == 5
    assert pruned, "by luck alone each of five would have to be better than those before"
    for each in pruned:
        experiment = candidates.experiment(made, each)
        directory = run.directory(experiment, {"dataset": shop.dataset.name}, folder / "w")
        assert list(each.validation) == [10]
        assert max(run.steps(directory)) == 10
        assert not artifact.exists(directory)
        better = [t for t in found if t.validation[10] > each.validation[10]]
        assert better
    # Of the one whose run was there already, too.
    assert all(list(each.validation) == [10, 20] for each in done)
    repeated = candidates.trainings(made, found)
    assert len(repeated) == min(2, len(done))
    for each, seed in repeated:
        assert stages.is_trained(candidates.experiment(made, each, seed), folder / "w")
    again = Worker(made, 1)
    again.search()
    assert len(study.read(study.open_study(made), made.sweep)) == 5, "all is done"
    result = outcome.of(made, found)
    standing = result.decision.standings[result.decision.winner]
    assert run.latest(folder / "w" / "runs" / "shop") == outcome.epath.Path(result.run)
    assert set(result.test) >= {"ndcg@5", "hr@5"}
    seeds = [
        artifact.read_manifest(
            run.directory(
                candidates.experiment(made, next(t for t in found if t.number
                                                 == result.decision.winner), seed),
                {"dataset": shop.dataset.name},
                folder / "w",
            ),
            "run",
        ).details["validation"]["ndcg@5"]
        for seed in range(2)
    ]  # fmt: skip
    assert standing.mean == pytest.approx(sum(seeds) / 2)


def test_what_a_user_is_worth_adds_up_to_the_metric(folder, shop, dataset):
    experiment = world.shop(folder)
    users = outcome.per_user(experiment, shop.run, dataset)
    manifest = artifact.read_manifest(shop.run, "run")
    assert len(users) == dataset.examples("validation")
    assert users.mean() == pytest.approx(manifest.details["validation"]["ndcg@5"])


def test_what_is_known_before_training(folder, dataset, shop):
    experiment = base(folder)
    wanted = ["memory", "compute", "latency"]
    found = quantities.measure(experiment, dataset, wanted, examples.CORE)
    assert found["cost"] == rate.of_answers(found["core"], examples.CORE) > 0
    _, _, arrays = run.load(shop.run, world.shop(folder))
    assert found["parameters"] == sum(each.size for each in arrays.values())
    assert found["size"] == pytest.approx(sum(each.nbytes for each in arrays.values()) / 1e6)
    twice = dataclasses.replace(experiment.trainer, steps=40)
    more = quantities.measure(dataclasses.replace(experiment, trainer=twice), dataset, ["compute"])
    assert more["compute"] == 2 * found["compute"] > 0
    assert found["memory"] > 3 * found["size"], "parameters, and two moments of each"
    assert 0 < found["latency"] < 1e3
    assert quantities.broken(found, [Limit("latency", 1e3), Limit("size", 1.0)]) == {}
    over = quantities.broken({"size": 3.0, "memory": math.nan}, [Limit("size", 2.0)])
    assert over == {"size": 1.5}
    assert "memory" in quantities.broken({"memory": math.nan}, [Limit("memory", 1.0)])
    assert "memory" in quantities.broken({}, [Limit("memory", 1.0)])


def test_a_fitted_model_has_no_size_before_it_is_fitted(folder):
    fitted = dataclasses.replace(world.shop(folder), model=Ease())
    quantities.check_measurable(fitted, ["quality"])
    for name in ("size", "memory", "latency"):
        with pytest.raises(ConfigError, match=f"{name} of Ease|latency of Ease"):
            quantities.check_measurable(fitted, [name])
