"""`podway data`: builds a dataset, or extends one, and checks it."""

import argparse
import dataclasses
from typing import Annotated, Any, Literal

import tyro

from podway.beam.engines.options import ENGINES, Engine, Local
from podway.launch import stages
from podway.launch.verbs import check
from podway.launch.verbs.verb import Chain, Verb


@dataclasses.dataclass(frozen=True)
class Build(Chain):
    """An experiment, where its artefacts lie, and how its dataset is built."""

    since: str | None = None
    """Version of a dataset, or "latest": add the raw files that it has not read, and leave the
    users as they are whom these don't mention."""
    checks: Annotated[check.Check, tyro.conf.arg(name="")] = check.Check()
    runner: Literal["local", "portable", "flink", "dataflow"] = "local"
    """Engine of the pipeline; `--runner flink --help` explains the options of that engine."""
    engine: Annotated[Engine, tyro.conf.arg(name="")] = Local()


def data(options: Build) -> None:
    """Builds a dataset and those of the mixture, or extends it; then checks it if asked to."""
    directory = stages.dataset(
        options.experiment, options.workdir, options.engine, since=options.since, code=options.code
    )
    check.run(directory, options.checks)
    for component in options.experiment.mixture if options.since is None else ():
        stages.dataset(
            dataclasses.replace(options.experiment, data=component.data, mixture=()),
            options.workdir,
            options.engine,
            code=options.code,
        )


def engine(overrides: list[str]) -> dict[str, Any]:
    """The chosen engine, so that its options alone are accepted and explained."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", nargs="?")
    name = parser.parse_known_args(overrides)[0].runner
    return {"engine": ENGINES.get(name, Local)()}


VERB = Verb(
    "raw events → dataset",
    Build,
    data,
    engine,
    example="podway data movielens_sasrec --data.min-user-events 10 --workdir w",
    without_model=True,
)
