"""The trials in a real database: none is lost, none is doubled, whoever is killed."""

import concurrent.futures
import os
import subprocess
import sys

import pytest

optuna = pytest.importorskip("optuna", reason="optuna is missing: pip install 'podway[sweep]'")

from optuna.trial import TrialState  # noqa: E402

from podway.framework.config.sweep import Choice, Float, Sweep  # noqa: E402
from podway.framework.runs.lock import Holder  # noqa: E402
from podway.launch.sweep import study  # noqa: E402
from tests.framework.experiments import walks  # noqa: E402
from tests.launch.sweep import examples  # noqa: E402
from tests.launch.tracking import postgres  # noqa: E402

GONE = "import sys; from podway.framework.runs.lock import Holder; print(Holder.here().text())"


def plan(workdir, **changes):
    return examples.plan(workdir, objectives=("quality",), limits=(), **changes)


def states(of, sweep):
    return [each.state for each in study.read(of, sweep)]


@pytest.fixture(scope="module")
def gone() -> str:
    """A worker of this machine that has ended."""
    return subprocess.run(
        [sys.executable, "-c", GONE], capture_output=True, text=True, check=True
    ).stdout


def begun(of, made, worker: str):
    attempt = of.ask()
    attempt.set_user_attr(study.WORKER, worker)
    return attempt, study.suggested(attempt, made.sweep)


def test_the_first_trial_is_the_experiment_itself(tmp_path):
    made = plan(tmp_path)
    found = study.open_study(made)
    assert states(found, made.sweep) == ["waiting"]
    again = study.open_study(made)
    assert len(again.trials) == 1, "who comes later enters nothing"
    _, values = begun(again, made, "")
    assert values == {
        "optimizer.learning_rate": 1e-2,
        "model.width": 16,
        "trainer.crop": "latest",
    }
    outside = plan(tmp_path, space=(Float("optimizer.learning_rate", 0.5, 0.6),))
    assert states(study.open_study(outside), outside.sweep) == []


def test_who_is_killed_leaves_a_trial_that_is_taken_up_with_the_same_values(tmp_path, gone):
    made = plan(tmp_path)
    found = study.open_study(made)
    begun(found, made, Holder.here().text())
    lost, values = begun(found, made, gone)
    lost.set_user_attr(study.VALIDATION, {"5": 0.25})
    study.mend(found)
    assert states(found, made.sweep) == ["running", "waiting"], "who lives keeps his"
    study.mend(found)
    assert len(found.trials) == 3, "it is entered once"
    taken, same = begun(found, made, Holder.here().text())
    assert same == values
    assert taken.user_attrs[study.VALIDATION] == {"5": 0.25}
    assert not study.is_surplus(found, taken.number, 2)
    taken.set_user_attr(study.QUALITY, 0.5)
    found.tell(taken, 0.5)
    one = study.read(found, made.sweep)[1]
    assert (one.number, one.state, one.attempts, one.quality) == (1, "complete", 2, 0.5)
    assert dict(one.values) == values


def test_a_trial_that_two_enter_again_is_trained_once(tmp_path, gone):
    made = plan(tmp_path)
    found = study.open_study(made)
    begun(found, made, gone)
    study.mend(found)
    study._enter_again(found, found.trials[0])  # by who looked at the same instant
    first, _ = begun(found, made, Holder.here().text())
    second, _ = begun(found, made, Holder.here().text())
    assert not study.is_surplus(found, first.number, 9)
    assert study.is_surplus(found, second.number, 9)
    second.set_user_attr(study.SURPLUS, True)
    found.tell(second, state=TrialState.FAIL)
    study.mend(found)
    assert states(found, made.sweep) == ["running"]


def test_two_that_begin_the_last_trial_at_once(tmp_path):
    made = plan(tmp_path, trials=2)
    found = study.open_study(made)
    attempts = [begun(found, made, Holder.here().text())[0] for _ in range(3)]
    assert [study.is_surplus(found, each.number, 2) for each in attempts] == [False, False, True]
    attempts[0].set_user_attr(study.REFUSED, "too large")
    found.tell(attempts[0], state=TrialState.PRUNED)
    assert not study.is_surplus(found, attempts[2].number, 2), "who is refused does not count"


def test_a_trial_that_always_crashes_has_failed_and_one_that_was_stopped_has_not(tmp_path, gone):
    made = plan(tmp_path)
    found = study.open_study(made)
    for _ in range(study.ATTEMPTS + 1):
        stopped, _ = begun(found, made, Holder.here().text())
        stopped.set_user_attr(study.STOPPED, True)
        found.tell(stopped, state=TrialState.FAIL)
        study.mend(found)
    assert states(found, made.sweep) == ["waiting"]
    for _ in range(study.ATTEMPTS):
        begun(found, made, gone)
        study.mend(found)
    (one,) = study.read(found, made.sweep)
    assert one.state == "failed"
    assert one.reason == "its worker ended 3 times in the middle of it"


def test_values_come_back_as_the_space_has_them(tmp_path):
    """For Optuna True, 1 and 1.0 are one value; numbers have few digits."""
    values = (True, 1, 1.5, None, "1", (1, 2))
    made = plan(
        tmp_path, space=(Choice("trainer.ema", values), Float("model.dropout", 0.1, 0.123456))
    )
    found, seen = study.open_study(made), set()
    for _ in range(40):
        attempt, drawn = begun(found, made, "")
        seen.add((type(drawn["trainer.ema"]), drawn["trainer.ema"]))
        assert drawn["model.dropout"] == float(f"{drawn['model.dropout']:.4g}")
        found.tell(attempt, 0.1)
    assert seen == {(type(value), value) for value in values}
    read = study.read(found, made.sweep)
    assert {(type(t.values["trainer.ema"]), t.values["trainer.ema"]) for t in read} == seen


def _works(arguments) -> None:
    """A worker that trains nothing, in a process of its own."""
    made, number = arguments
    found = study.open_study(made)
    while True:
        trials = study.read(found, made.sweep)
        if len(trials) >= made.sweep.trials and "waiting" not in {t.state for t in trials}:
            return
        found.sampler = study.sampler(made, number, len(trials))
        attempt, values = begun(found, made, Holder.here().text())
        if study.is_surplus(found, attempt.number, made.sweep.trials):
            attempt.set_user_attr(study.SURPLUS, True)
            found.tell(attempt, state=TrialState.FAIL)
            continue
        attempt.set_user_attr(study.QUALITY, values["optimizer.learning_rate"])
        found.tell(attempt, values["optimizer.learning_rate"])


def _race(made) -> None:
    with concurrent.futures.ProcessPoolExecutor(3) as pool:
        list(pool.map(_works, [(made, number) for number in range(3)]))
    found = study.read(study.open_study(made), made.sweep)
    assert [each.state for each in found] == ["complete"] * made.sweep.trials
    drawn = {each.values["optimizer.learning_rate"] for each in found}
    assert len(drawn) == made.sweep.trials, "no worker draws what another one has drawn"


def test_workers_share_a_file(tmp_path):
    _race(plan(tmp_path, trials=12))


def test_workers_of_several_machines_share_postgresql(tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'podway[sweep]'")
    with postgres.server() as address:
        made = plan(tmp_path, trials=12)
        made = type(made)(walks(), "w", made.sweep, str(tmp_path), address)
        _race(made)
    assert os.listdir(tmp_path) == []


def test_the_sweep_is_typed(tmp_path):
    assert isinstance(plan(tmp_path).sweep, Sweep)
