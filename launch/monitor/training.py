"""Metrics of an experiment's runs, from the files that they write: those in training, and the one
that began last."""

import math
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from podway.framework.report import artefacts
from podway.framework.report.artefacts import Run
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.alerts.catalogue import Samples, chosen, finite, one

STATES = typing.get_args(artefacts.State)
_VALIDATION = "validation/"


def samples(workdir: epath.Path, experiment: str) -> Samples:
    """All of them; none where the experiment has no run yet."""
    return [sample for run in watched(_runs(workdir, experiment)) for sample in of_run(run)]


def _runs(workdir: epath.Path, experiment: str) -> Iterator[Run]:
    home = workdir / "runs" / experiment
    for directory in home.iterdir() if home.is_dir() else ():
        if not directory.name.startswith(("_", ".")) and (directory / "experiment.json").exists():
            yield artefacts.run(directory)


def watched(runs: Iterable[Run]) -> list[Run]:
    """The runs that are in training, and the one that began last."""
    found = sorted(runs, key=lambda run: (run.when, run.version), reverse=True)
    return found[:1] + [run for run in found[1:] if run.state == "training"]


def of_run(run: Run) -> Samples:
    """What the files of a run say."""
    who, found = (run.name, run.version), run.metrics()
    made = chosen(catalogue.TRAINING_STATE, who, STATES, run.state)
    made += one(catalogue.TRAINING_STEPS, who, run.steps)
    if run.signs:
        made += one(catalogue.TRAINING_SIGN, who, run.signs)
    made += _of_steps(who, run, found) + _of_times(who, run.times)
    for name, value in _validation(found).items():
        made += one(catalogue.TRAINING_VALIDATION, (*who, name), finite(value))
    return made


def _of_steps(who: tuple[str, str], run: Run, found: Sequence[Mapping[str, Any]]) -> Samples:
    steps = [record for record in found if "loss" in record]
    if not steps:
        return []
    last = steps[-1]
    loss, rate = finite(last["loss"]), finite(last.get("examples_per_second"))
    made = one(catalogue.TRAINING_STEP, who, last["step"])
    made += one(catalogue.TRAINING_LOSS, who, math.nan if loss is None else loss)
    made += one(catalogue.TRAINING_RATE, who, rate)
    batch = finite(_trainer(run).get("batch_size"))
    if rate and batch:
        made += one(catalogue.TRAINING_STEP_SECONDS, who, batch / rate)
    made += one(catalogue.TRAINING_STALL, who, finite(last.get("input_stall_percent")))
    return made + one(catalogue.TRAINING_MFU, who, finite(last.get("mfu_percent")))


def _trainer(run: Run) -> Mapping[str, Any]:
    found = run.experiment.get("trainer")
    return found if isinstance(found, dict) else {}


def _of_times(who: tuple[str, str], times: Mapping[str, Any]) -> Samples:
    made = one(catalogue.TRAINING_GOODPUT, who, finite(times.get("goodput_percent")))
    made += one(catalogue.TRAINING_SESSIONS, who, finite(times.get("sessions")))
    seconds = times.get("seconds")
    for phase, spent in seconds.items() if isinstance(seconds, dict) else ():
        made += one(catalogue.TRAINING_SECONDS, (*who, phase), finite(spent))
    return made


def _validation(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last value of each metric on the validation split."""
    return {
        name.removeprefix(_VALIDATION): value
        for record in found
        for name, value in record.items()
        if name.startswith(_VALIDATION)
    }
