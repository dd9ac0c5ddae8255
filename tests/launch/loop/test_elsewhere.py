"""A cycle whose training runs on other machines, by the command that they are given."""

import pytest
from etils import epath

from podway.export.verification import verify
from podway.framework.error import PodwayError
from podway.launch import cli, experiments, stages
from podway.launch.loop import cycle, loop, record
from podway.launch.targets import frozen
from podway.launch.targets.error import FailedError
from tests.launch.loop import days


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)


def test_one_that_fails_there_is_tried_again_and_nothing_is_trained_here(tmp_path):
    days.write(tmp_path, 1)
    experiment, workdir = days.shop(tmp_path), tmp_path / "w"
    asked = []

    def fails(overrides):
        asked.append(overrides)
        raise FailedError("shop-1 has failed: no machines")

    def trains(overrides):
        (begun,) = record.cycles(record.folder("shop", workdir))
        asked.append(overrides)
        wanted = cycle.trained(cycle.Work(experiment, epath.Path(workdir)), begun)
        stages.train(wanted, workdir, stages.TrainOptions(code="keep"))

    with pytest.raises(FailedError, match="no machines"):
        loop.once(experiment, workdir, elsewhere=fails)
    (begun,) = record.cycles(record.folder("shop", workdir))
    assert (begun.step, begun.outcome) == ("train", "")
    assert asked == [["--data.version", begun.dataset, "--code", "keep"]]
    assert not list(workdir.glob("runs/shop/*/manifest.json"))

    with pytest.raises(PodwayError, match=r"there is no run of it in .*: are both images of one"):
        loop.once(experiment, workdir, elsewhere=asked.append)
    assert not list(workdir.glob("runs/shop/*/manifest.json"))

    ended = loop.once(experiment, workdir, elsewhere=trains)
    assert ended is not None
    assert ended.outcome == "served"
    assert len(asked) == 3


def test_what_is_trained_already_is_not_asked_for(tmp_path):
    """A pod that was taken away after the training and before the cycle's record."""
    days.write(tmp_path, 1)
    experiment, workdir = days.shop(tmp_path), tmp_path / "w"
    ended = loop.once(experiment, workdir)
    assert ended is not None
    work = cycle.Work(
        experiment, epath.Path(workdir), elsewhere=lambda _: pytest.fail("it was asked for")
    )
    assert cycle._train(work, ended).run == ended.run


@pytest.mark.slow
def test_the_options_make_the_very_run_that_the_cycle_expects(tmp_path):
    """Two cycles, the second of which begins at the parameters of the first."""
    asked = []

    def trains(overrides):
        asked.append(overrides)
        cli.main(["train", str(tmp_path / frozen.FILE), "--workdir", str(workdir), *overrides])

    workdir = tmp_path / "w"
    for day in (1, 2):
        days.write(tmp_path, day)
        experiment = days.shop(tmp_path, "sasrec", steps=20)
        for path, content in frozen.freeze(experiment).files.items():
            (tmp_path / path).write_bytes(content)
        assert experiments.load(str(tmp_path / frozen.FILE)) == experiment
        ended = loop.once(experiment, workdir, elsewhere=trains)
        assert ended is not None
        assert ended.outcome == "served"
    assert "--trainer.warm-start.run" not in asked[0]
    assert asked[1][asked[1].index("--trainer.steps") + 1] == "20"
    assert len(asked) == len(list(workdir.glob("runs/shop/*/manifest.json"))) == 2
