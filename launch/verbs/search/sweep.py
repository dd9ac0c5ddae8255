"""`podway sweep`: trials of an experiment over a search space, and the one that wins."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from etils import epath

from podway.framework import artifact, codec
from podway.framework.config import Experiment, Model
from podway.framework.config.sweep import Quantity
from podway.framework.config.sweep import Sweep as Found
from podway.framework.error import check
from podway.launch import stages
from podway.launch.tracking import session
from podway.launch.verbs import preflight
from podway.launch.verbs.verb import Chain, Subject, Verb

if TYPE_CHECKING:
    from podway.launch.cost.rate import Rate
    from podway.launch.sweep.forecast import Forecast
    from podway.launch.sweep.outcome import Outcome
    from podway.launch.sweep.plan import Plan

KIND = "sweeps"
"""What a tracking database calls it, and the folder in the workdir."""


@dataclasses.dataclass(frozen=True)
class Sweep(Chain):
    """An experiment, and what to try of it."""

    config: Subject = ""
    """What stands after the verb."""
    space: tuple[str, ...] = ()
    """FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C for each field; or FILE.py with a
    function sweep(), or FILE.json. Without it, sweep() of CONFIG's file."""
    objectives: tuple[Quantity, ...] | None = None
    """What a trial should be good at: quality, and some of latency, size, memory, parameters,
    compute and cost (of a million answers)."""
    limits: tuple[str, ...] = ()
    """What no trial may be above, asked before it trains: latency=20 (ms), size=100 (MB), cost=0.5
    (of a million answers)."""
    trials: int | None = None
    """Trials to train [24]."""
    minutes: float | None = None
    """After so long no trial begins, and those in training are left for the next time."""
    candidates: int | None = None
    """Trials among which the winner is sought, with all seeds [3]."""
    seeds: int | None = None
    """Trainings of each candidate [3]."""
    workers: int = 1
    """Processes of this machine that train, each its own trial."""
    storage: str = ""
    """postgresql://USER@HOST/NAME, for workers of several machines; each gives the same command.
    Empty: a file in the sweep's folder."""
    prices: str = ""
    """File of your own prices (TOML), before those that Podway brings (docs/capacity.md)."""
    region: str = "us-central1"
    """Region whose prices count."""
    capacity: str = "on-demand"
    """How machines are bought: on-demand, spot, reserved, reserved-1y, reserved-3y, flex-start."""
    dry_run: bool = False
    """Say what would be trained, what that would cost and what it has cost so far, and stop."""
    topology: str = ""
    """With --dry-run: devices that one worker trains on, v5e:2x2 or h100:8; empty: those here."""
    write: str = ""
    """File for the experiment that wins: .py, with what differs from CONFIG, or .json."""


MORE = """

Trials are runs as any other, so that one that was killed goes on where it was saved. The cheapest
candidate that is as good as the best one, as far as users and seeds let one tell, wins, and is
evaluated on the test split. Writes sweeps/NAME/VERSION/sweep.html, .md and .json."""


def sweep(options: Sweep) -> None:
    """Runs the workers, and says what came of it."""
    experiment = options.experiment
    check(
        type(experiment.model) is not Model,
        f"the experiment {experiment.name!r} has no model: set `model` and `optimizer`",
    )
    check(options.workers >= 1, f"--workers is {options.workers}; give 1 or more")
    check(options.dry_run or not options.topology, "--topology goes with --dry-run")
    if options.topology:
        preflight.choose_platform([options.topology])
    import optuna  # noqa: F401  before anything is built: it may be missing

    from podway.launch.cost import bill
    from podway.launch.sweep import crew, outcome, quantities, study, text, written

    plan = planned(options)
    if options.dry_run:
        print(f"sweep: {plan.directory}\n  " + "\n  ".join(_forecast(options, plan).lines()))
        return
    if options.write:
        written.check_place(options.write)
    quantities.check_measurable(experiment, plan.sweep.measured)
    with session.session(experiment, options.workdir) as teller:
        stages.datasets(experiment, options.workdir, build=True, code=options.code)
        trials = study.open_study(plan)
        plan.write()
        print(f"sweep: {plan.directory}, {options.workers} workers", flush=True)
        began, minutes, said = time.time(), plan.sweep.minutes, set[int]()

        def look() -> None:
            for each in study.read(trials, plan.sweep):
                if each.state not in ("waiting", "running") and each.number not in said:
                    said.add(each.number)
                    print(text.line(each, plan), flush=True)

        look()
        deadline = None if minutes is None else began + 60 * minutes
        crew.run(plan, options.workers, deadline, look)
        found = study.read(trials, plan.sweep)
        print(f"sweep: {text.counts(found)}, in {time.time() - began:.0f} s", flush=True)
        result = outcome.of(plan, found)
        spent = bill.bill(
            {each.number: each.seconds for each in found},
            study.repeated(trials),
            plan.currency,
            _rates(options),
        )
        result = dataclasses.replace(result, bill=spent)
        _publish(plan, result, dict(study.importance(trials, plan)), began)
        teller.tell(KIND, plan.directory)
    print(text.decided(result, plan))
    print(f"trainings: {text.money(spent.total, spent.currency)}")
    print(f"run: {result.run}\npage: {plan.directory / 'sweep.html'}")
    if options.write:
        from podway.launch.sweep import candidates

        assert result.decision is not None
        chosen = next(each for each in found if each.number == result.decision.winner)
        why = f"The winner of a sweep over {options.config}: {text.values(result.values)}."
        winner = candidates.experiment(plan, chosen)
        written.write(options.write, options.config, winner, why)
        print(f"config: {options.write}")


def _rates(options: Sweep) -> Callable[[str], Rate]:
    """What an hour of a device costs, as the options say."""
    from podway.launch.cost import rate

    return rate.read(options.prices, rate.Bought(options.region, options.capacity))


def _forecast(options: Sweep, plan: Plan) -> Forecast:
    """What the sweep will cost and has cost; nothing is made or written."""
    from podway.framework.devices import topology
    from podway.launch.cost import bill
    from podway.launch.sweep import forecast, study
    from podway.launch.sweep.plan import FILE

    rates = _rates(options)
    trials, seeds = [], {}
    if (plan.directory / FILE).exists():
        found = study.open_study(plan)
        trials, seeds = study.read(found, plan.sweep), study.repeated(found)
    spent = {
        each.number: each.seconds for each in trials if each.state != "waiting" or each.seconds
    }
    made = bill.bill(spent, seeds, plan.currency, rates)
    if options.topology:
        pod = topology.parse(options.topology)
        device = (pod.accelerator.name, float(pod.chips))
    else:
        pod, device = topology.here(), bill.held(options.workers)
    return forecast.of(plan, trials, made, device, pod, rates)


def planned(options: Sweep) -> Plan:
    """The sweep that options say, held against the experiment. Raises ConfigError."""
    from podway.launch.cost.rate import CORE
    from podway.launch.sweep import given, space
    from podway.launch.sweep.plan import Plan

    found = given.sweep(options.space, options.config)
    winner = {
        name: value
        for name, value in (("candidates", options.candidates), ("seeds", options.seeds))
        if value is not None
    }
    found = given.changed(
        found,
        objectives=options.objectives,
        limits=tuple(given.limit(each) for each in options.limits) or None,
        trials=options.trials,
        minutes=options.minutes,
        winner=dataclasses.replace(found.winner, **winner),
    )
    # As workers read both back: a 0 where a number is meant is 0.0 there, and another version.
    experiment = codec.from_json(Experiment, codec.to_json(options.experiment))
    found = codec.from_json(Found, codec.to_json(space.checked(experiment, found)))
    workdir = str(options.workdir)
    workdir = workdir if "://" in workdir else str(epath.Path(workdir).absolute())
    core = _rates(options)(CORE)
    return Plan(experiment, options.config, found, workdir, options.storage, options.code, core)


def _publish(plan: Plan, found: Outcome, importance: dict[str, float], began: float) -> None:
    """Writes the report, its JSON last, and what a tracking database is told."""
    from podway.launch.sweep import outcome, page, text
    from podway.launch.tracking import others

    content: dict[str, Any] = outcome.to_json(plan, found) | {"importance": importance}
    artifact.write_atomically(plan.directory / "sweep.md", text.markdown(found, plan))
    artifact.write_atomically(plan.directory / "sweep.html", page.render(content))
    decision = found.decision
    assert decision is not None
    standing = decision.standings[decision.winner]
    others.write(
        plan.directory,
        name=plan.experiment.name,
        version=plan.version,
        config=codec.to_json(plan.sweep),
        metrics={
            "trials": len(found.trials),
            f"validation/{content['metric']}": standing.mean,
            **{f"test/{name}": cell["value"] for name, cell in found.test.items()},
            **({} if found.bill is None else {"training_cost": found.bill.total}),
        },
        facts={
            "winner": content["winner"]["overrides"],
            "winner_run": epath.Path(found.run).name,
            "page": str(plan.directory / "sweep.html"),
            "front": " ".join(map(str, found.front)),
            "currency": plan.currency,
        },
        parts=[_told(each, content["metric"]) for each in content["trials"]],
        began=began,
    )
    artifact.write_atomically(plan.directory / "sweep.json", codec.json_text(content, indent=1))


def _told(each: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """A trial, as part of what is told of the sweep."""
    return {
        "version": f"{each['number']}",
        "config": each["values"],
        "metrics": {"quality": each["quality"], **each["quantities"]},
        "curve": {f"validation/{metric}": each["validation"]},
        "facts": {name: each[name] for name in ("state", "run", "reason")},
    }


VERB = Verb(
    "trials over a search space → the experiment that wins",
    Sweep,
    sweep,
    more=MORE,
    example="podway sweep movielens_sasrec --space optimizer.learning_rate=1e-3..1e-2:log"
    " model.width=32,64 --trials 12 --workers 2 --workdir w",
)
