"""A run that goes on from where another one ended: its state, its input position, its lineage."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework import artifact, codec, config
from podway.framework.error import ConfigError, check
from podway.framework.runs import checkpoint, records, run, telemetry
from podway.framework.training.state import State

_FILE = "parent.json"
"""Of a run that has a parent: its version, its last step, and the metrics there."""
SAME = ("batch_size", "seed", "crop", "share", "pack", "shuffle_window_blocks")
"""Fields of the trainer that say which examples a step reads."""


@dataclasses.dataclass(frozen=True)
class Parent:
    """The run that another one goes on from.

    Attributes:
      directory: of the run.
      step: its last one.
      metrics: the validation metrics there.
    """

    directory: epath.Path
    step: int
    metrics: dict[str, float]

    def restore(self, state: Any) -> State:
        """The state that it ended with; `state` gives shapes and shardings of the State here.

        Raises CheckpointError where it does not fit.
        """
        return checkpoint.restore_from(self.directory / "checkpoints", self.step, state)

    def hand_down(self, target: epath.Path) -> None:
        """Begins a run in `target`: its records with the parent's, and who that is.

        From then on the run does not need its parent, once it has saved a state.
        """
        if (target / _FILE).exists():
            return
        earlier = records.read(self.directory / "metrics.jsonl")
        kept = [each for each in earlier if each["step"] <= self.step]
        telemetry.Records(target / "metrics.jsonl", kept).save()
        text = {"run": self.directory.name, "step": self.step, "metrics": self.metrics}
        artifact.write_atomically(target / _FILE, json.dumps(text, indent=1))


def find(
    experiment: config.Experiment, inputs: Mapping[str, str], target: epath.Path
) -> Parent | None:
    """The run that trainer.parent names, if it names one.

    Args:
      experiment: that is to go on from it.
      inputs: the datasets' versions.
      target: the folder of the new run, beside which it lies.

    Raises ConfigError where it has not finished, or where its state cannot go on here.
    """
    options = experiment.trainer
    if not options.parent:
        return None
    directory = target.parent / options.parent
    if (target / _FILE).exists():  # we began with it
        known = json.loads((target / _FILE).read_text())
        return Parent(directory, known["step"], known["metrics"])
    check(
        artifact.exists(directory),
        f"trainer.parent: {directory} is no finished run; train it to its end first",
    )
    manifest = artifact.read_manifest(directory, "run")
    theirs, ours = dict(manifest.config), run.identity(experiment)
    step = steps_of(manifest)
    check(
        options.steps > step,
        f"trainer.steps is {options.steps}, and the run that trainer.parent names has done {step}"
        " already: give more",
    )
    for part in ("model", "weights"):
        if found := codec.difference(ours[part], theirs[part], part):
            raise ConfigError(f"trainer.parent: {directory} is of another experiment: {found}")
    mine, other = ({name: each["trainer"].get(name) for name in SAME} for each in (ours, theirs))
    if found := codec.difference(mine, other, "trainer"):
        raise ConfigError(
            f"trainer.parent: {directory} read its examples in another order: {found}"
        )
    before = {name: version for name, version in manifest.inputs.items() if name != run.PARENT}
    if found := codec.difference(dict(inputs), before):
        raise ConfigError(
            f"trainer.parent: {directory} is of another dataset: {found}; trainer.warm_start takes"
            " over parameters alone"
        )
    check(
        step in run.steps(directory),
        f"trainer.parent: the checkpoint of step {step}, the last one of {directory}, is gone",
    )
    return Parent(directory, step, checkpoint.metrics_of(directory / "checkpoints", step))


def steps_of(manifest: artifact.Manifest) -> int:
    """The steps that a finished run has done."""
    return manifest.details.get("steps", manifest.config["trainer"]["steps"])


def longer(experiment: config.Experiment, directory: epath.Path, more: int) -> config.Experiment:
    """The experiment of `more` steps beyond those of a finished run of this one."""
    steps = steps_of(artifact.read_manifest(directory, "run"))
    trainer = dataclasses.replace(experiment.trainer, parent=directory.name, steps=steps + more)
    return dataclasses.replace(experiment, trainer=trainer)
