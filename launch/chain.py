"""The chain from Python: what the command's verbs do, with what they make as the result."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from etils import epath

from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.launch import console, experiments, stages
from podway.launch.tracking.session import session, teller

if TYPE_CHECKING:
    from podway.launch.loaded.model import LoadedModel


@dataclasses.dataclass(frozen=True)
class Result:
    """What the chain made of an experiment. Printed, it is the table.

    Attributes:
      dataset: folder of the dataset.
      run: folder of the run.
      evaluation: folder of the evaluation.
      model: folder of the published version; None: it was not exported.
      gate: folder of the verdict by which it serves; None: it has no gate.
    """

    dataset: epath.Path
    run: epath.Path
    evaluation: epath.Path
    model: epath.Path | None = None
    gate: epath.Path | None = None

    @functools.cached_property
    def table(self) -> dict[str, dict[str, dict[str, float]]]:
        """Model → metric → "value", and "low" and "high" where it has a 95 % interval."""
        return json.loads((self.evaluation / "table.json").read_text())

    @functools.cached_property
    def loaded(self) -> LoadedModel:
        """The published model, or without one the run."""
        from podway.launch.loaded.model import load

        return load(self.run if self.model is None else self.model)

    def __str__(self) -> str:
        return (self.evaluation / "table.txt").read_text().rstrip()


def experiment(name: str | os.PathLike[str]) -> Experiment:
    """An experiment by the name of its config, or by its Python file. Raises ConfigError.

    `dataclasses.replace` changes its fields.
    """
    return experiments.load(os.fspath(name))


def data(
    of: Experiment | str | os.PathLike[str],
    workdir: str | os.PathLike[str] = "workdir",
    *,
    code: Choice | None = None,
) -> epath.Path:
    """Raw events → dataset. Returns its folder.

    Here and below: an experiment may be named, as in `experiment`; what is there already is not
    made again; `code` says what becomes of that which other code made ("keep" or "new");
    `more` goes on from the finished run for so many more steps, in a run of its own, once for each
    number.
    """
    console.prepare_libraries()
    return stages.dataset(_resolved(of), workdir, code=code)


def evaluate(
    of: Experiment | str | os.PathLike[str],
    workdir: str | os.PathLike[str] = "workdir",
    *,
    code: Choice | None = None,
    more: Sequence[int] = (),
) -> Result:
    """Data, training, and the table beside the baselines; see `data`."""
    console.prepare_libraries()
    found = _longer(_resolved(of), workdir, more, code)
    return _evaluate(found, workdir, code)[0]


def run(
    of: Experiment | str | os.PathLike[str],
    workdir: str | os.PathLike[str] = "workdir",
    *,
    code: Choice | None = None,
    more: Sequence[int] = (),
) -> Result:
    """Data, training, evaluation, export: a verified, published model; see `data`.

    Where the experiment has a gate, the model serves if it passes. Raises NotPassed.
    """
    console.prepare_libraries()
    found = _longer(_resolved(of), workdir, more, code)
    with session(found, workdir):
        result, dataset = _evaluate(found, workdir, code)
        published = stages.publish(found, dataset, result.run, workdir, code)

        from podway.launch.gate import admission

        verdict = admission.promote(found, published, workdir, code, teller().tell)
    return dataclasses.replace(result, model=published, gate=verdict)


def _resolved(of: Experiment | str | os.PathLike[str]) -> Experiment:
    return of if isinstance(of, Experiment) else experiment(of)


def _longer(
    of: Experiment, workdir: str | os.PathLike[str], more: Sequence[int], code: Choice | None
) -> Experiment:
    return stages.longer(of, workdir, more, stages.TrainOptions(code=code))


def _evaluate(
    of: Experiment, workdir: str | os.PathLike[str], code: Choice | None
) -> tuple[Result, Any]:
    """The result, and the opened dataset."""
    dataset, trained = stages.evaluate(of, workdir, code)

    from podway.framework import artifact
    from podway.framework.comparison import evaluation

    directory = evaluation.directory(of, artifact.read_manifest(trained, "run"), workdir, code)
    return Result(dataset.directory, trained, directory), dataset
