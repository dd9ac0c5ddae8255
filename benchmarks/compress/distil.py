"""A student with and without a teacher: python -m benchmarks.compress.distil

Trains a config (the teacher), the same with a small model that learns from it, and with that small
model alone, each with as many steps, and evaluates all on the test split. Prints how many
parameters each has, and the paired intervals of the differences, user by user. With `--config
movielens1m_sasrec --path ml-1m.txt` on MovieLens 1M (see benchmarks/reproduce.py for the file).
"""

import dataclasses
import math

import tyro
from etils import epath

from podway.framework.compression.distil import Distil
from podway.framework.config import Experiment, compressed
from podway.framework.error import check
from podway.framework.models.parts.causal import CausalModel
from podway.launch import experiments, stages


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
    top: int = 64
    """See Distil."""
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


def students(base: Experiment, options: Options, seed: int) -> list[Experiment]:
    """The student that is taught, and the one that is alone."""
    check(isinstance(base.model, CausalModel), f"--config {options.config} has no causal model")
    small = dataclasses.replace(
        base.model,  # type: ignore[type-var]
        width=options.width,
        blocks=options.blocks,
        heads=math.gcd(options.width, base.model.heads),  # type: ignore[attr-defined]
    )
    step = Distil(
        model=small, temperature=options.temperature, weight=options.weight, top=options.top
    )
    taught = compressed(base, step)
    alone = dataclasses.replace(base, model=small, name=f"{base.name}_alone")
    return [
        dataclasses.replace(each, trainer=dataclasses.replace(each.trainer, seed=seed))
        for each in (taught, alone)
    ]


def main(options: Options) -> None:
    """Trains, evaluates, compares."""
    from podway.framework.comparison import runs
    from podway.framework.runs import run

    base = teacher(options)
    chain = [base, *(each for seed in options.seeds for each in students(base, options, seed))]
    folders: list[epath.Path] = [stages.evaluate(each, options.workdir)[1] for each in chain]
    for each, folder in zip(chain, folders, strict=True):
        _, _, parameters = run.load(folder)
        count = sum(array.size for array in parameters.values())
        print(f"{each.name}, seed {each.trainer.seed}: {count:,} parameters, {folder}")
    found = [runs.find(str(folder), options.workdir) for folder in folders]
    print(runs.report(runs.grouped(runs.evaluate_runs(found, options.workdir))))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
