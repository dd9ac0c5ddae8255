"""A student with and without a teacher: python -m benchmarks.compress.distil

Trains a config (the teacher), the same with a small model that learns from it, and with that small
model alone, each with as many steps, and evaluates all on the test split. Prints how many
parameters each has, and the paired intervals of the differences, user by user: from the small model
alone, then from the first one that is taught. `--tops 64 None` teaches one student by the 64 most
probable items and one by the whole catalogue, `--hidden-weights 0 1` each of them without and with
hidden states. With `--config
movielens1m_sasrec --path ml-1m.txt` on MovieLens 1M (see benchmarks/reproduce.py for the file).
"""

import dataclasses
import itertools
import math

import tyro
from etils import epath

from podway.framework.compression.distil import Distil
from podway.framework.config import Experiment, Model, compressed
from podway.framework.error import check
from podway.framework.models.parts.causal import CausalModel
from podway.launch import experiments, stages

SHOWN = ("top", "hidden_weight", "temperature", "weight")
"""Fields of a step that tell students apart."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to train."""

    config: str = "movielens_sasrec"
    """The teacher's config."""
    path: str = ""
    """The raw file, where it is not the config's own."""
    workdir: str = "workdir"
    """Where artefacts lie."""
    width: int = 16
    """The student's width."""
    blocks: int = 1
    """The student's blocks."""
    steps: int | None = None
    """Steps of each of the three; None: the config's."""
    temperature: float = 1.0
    """See Distil."""
    weight: float = 0.7
    """See Distil."""
    tops: tuple[int | None, ...] = (64,)
    """See Distil.top; a student for each."""
    hidden_weights: tuple[float, ...] = (0.0,)
    """See Distil; a student for each of these and of `tops`."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the students; one teacher, of the config's seed, teaches all."""


def teacher(options: Options) -> Experiment:
    """The config, with its file and steps."""
    found = experiments.load(options.config)
    if options.path:
        found = dataclasses.replace(found, data=dataclasses.replace(found.data, path=options.path))
    if options.steps:
        every = min(found.trainer.evaluate_every, options.steps)
        trainer = dataclasses.replace(found.trainer, steps=options.steps, evaluate_every=every)
        found = dataclasses.replace(found, trainer=trainer)
    return found


def small(base: Experiment, options: Options) -> Model:
    """The student's model."""
    check(isinstance(base.model, CausalModel), f"--config {options.config} has no causal model")
    return dataclasses.replace(
        base.model,  # type: ignore[type-var]
        width=options.width,
        blocks=options.blocks,
        heads=math.gcd(options.width, base.model.heads),  # type: ignore[attr-defined]
    )


def students(base: Experiment, options: Options) -> list[Experiment]:
    """The student that is alone, and those that are taught."""
    model = small(base, options)
    how = {"model": model, "temperature": options.temperature, "weight": options.weight}
    steps = [
        Distil(**how, top=top, hidden_weight=hidden_weight)
        for top, hidden_weight in itertools.product(options.tops, options.hidden_weights)
    ]
    alone = dataclasses.replace(base, model=model, name=f"{base.name}_alone")
    return [alone, *(compressed(base, step) for step in steps)]


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """The experiment of another seed, whose teacher keeps its own."""
    trainer = dataclasses.replace(experiment.trainer, seed=seed)
    return dataclasses.replace(experiment, trainer=trainer)


def main(options: Options) -> None:
    """Trains, evaluates, compares."""
    from podway.framework.comparison import runs
    from podway.framework.runs import run

    base = teacher(options)
    each_student = students(base, options)
    chain = [
        *(with_seed(each, seed) for each in each_student for seed in options.seeds),
        base,
    ]
    folders: list[epath.Path] = [stages.evaluate(each, options.workdir)[1] for each in chain]
    for each, folder in zip(chain, folders, strict=True):
        _, _, parameters = run.load(folder)
        count = sum(array.size for array in parameters.values())
        step = each.compression[-1:]
        how = ", ".join(f"{name} {getattr(step[0], name)}" for name in SHOWN) if step else "alone"
        print(f"{folder}, seed {each.trainer.seed}, {how}: {count:,} parameters")
    found = [runs.find(str(folder), options.workdir) for folder in folders]
    groups = runs.grouped(runs.evaluate_runs(found, options.workdir))
    print(runs.report(groups))
    if len(groups) > 3:
        print(runs.report(groups[1:-1]))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
