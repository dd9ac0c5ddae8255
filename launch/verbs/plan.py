"""`podway plan`: what a load takes: chips, workers, replicas, stores, and their cost."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING, Annotated

import tyro

from podway.framework.config import Experiment, Model, RowExamples
from podway.framework.error import check
from podway.launch import stages
from podway.launch.plan.load import Load
from podway.launch.verbs import preflight
from podway.launch.verbs.verb import Verb

if TYPE_CHECKING:
    from podway.launch.plan.step import Step


@dataclasses.dataclass(frozen=True)
class Options(Load):
    """The load, what is known of the machines, and what to print."""

    topology: str = ""
    """Pod that trains: v5e:16x16, h100:8; its step is compiled, as by `podway preflight`."""
    slices: int = 1
    """Pods of that shape, joined by the data centre's network."""
    compile: bool = True
    """Compile the training step."""
    step_seconds: float | None = None
    """Seconds of a training step, as measured; it is not compiled then."""
    qps_per_core: float | None = None
    """Requests a second that your server answers on one core, as measured."""
    prices: str = ""
    """File of your own prices (TOML), before those that Podway brings."""
    assume: tuple[str, ...] = ()
    """Any other figure: utilisation=0.5 message_bytes=90. The last table of a plan names them."""
    json: bool = False
    """Print JSON."""
    html: str = ""
    """File to write a page to, with the costs and the sensitivity drawn."""

    def __post_init__(self):
        super().__post_init__()
        for flag, value in (
            ("--step-seconds", self.step_seconds),
            ("--qps-per-core", self.qps_per_core),
        ):
            check(value is None or value > 0, f"{flag} is {value}; give more than 0")


@dataclasses.dataclass(frozen=True)
class Planned:
    """An experiment, and the load that it shall bear."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    load: Annotated[Options, tyro.conf.arg(name="")] = Options()


def run(given: Planned) -> None:
    """Prints the plan; writes its page."""
    from podway.launch.plan import gather, load, page, plan, sensitivity, told
    from podway.launch.prices import book

    experiment, options = given.experiment, given.load
    prices = book.read(options.prices)
    load.stated(options, experiment)  # what is missing is said before anything is compiled
    step, accelerator = _step(experiment, options)
    figures = gather.gather(
        options,
        experiment,
        step.figures,
        accelerator,
        prices,
        options.qps_per_core,
        options.assume,
    )
    made = plan.make(experiment.name, prices.currency, figures)
    effects = sensitivity.effects(made)
    if options.html:
        pathlib.Path(options.html).write_text(page.render(made, effects))
    if options.json:
        print(json.dumps(told.to_json(made, effects), indent=2))
    else:
        print(told.text(made, effects))


def _step(experiment: Experiment, options: Options) -> tuple[Step, str]:
    """What is known of the model's training step, and the accelerator that it runs on."""
    if options.topology and options.compile and options.step_seconds is None:
        preflight.choose_platform([options.topology])

    from podway.framework.devices import topology
    from podway.framework.preflight.compile import declared
    from podway.launch.plan import step

    pod = topology.parse(options.topology, options.slices) if options.topology else None
    name = pod.accelerator.name if pod else ""
    if type(experiment.model) is Model or stages.is_fitted(experiment):
        why = f"{type(experiment.model).__name__} is not trained in steps"
        return step.unknown(why, pod, options.step_seconds), name
    if isinstance(experiment.data.examples, RowExamples):
        why = "the tables of a dataset of rows are not declared: give --assume NAME=VALUE"
        return step.unknown(why, pod, options.step_seconds), name
    assert options.items is not None
    assert options.users is not None
    length = getattr(experiment.model, "max_length", 2)
    items, users = int(options.items), int(options.users)
    schema = declared(max(items, 3), max(users, 3), length, experiment.data.tables)
    found = step.of(experiment, schema, pod, seconds=options.step_seconds, compiles=options.compile)
    return found, name


VERB = Verb(
    "what a load takes: chips, replicas, cost",
    Planned,
    run,
    more=": each with its source",
    example="podway plan billion_items --users 300e6 --items 2e6 --events-per-second 50e3"
    " --requests-per-second 100e3",
)
