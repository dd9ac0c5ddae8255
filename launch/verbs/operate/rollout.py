"""`podway rollout`: a published version comes to all users, step by step, or goes back."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import pathlib
import time
from typing import TYPE_CHECKING, Any

from podway.framework.config import Rollout
from podway.framework.error import ConfigError, check
from podway.launch import experiments
from podway.launch.tracking import session
from podway.launch.verbs.verb import Subject, Verb

if TYPE_CHECKING:
    from podway.launch.rollout.target import Target
    from podway.online.rollout.state import State

_LOOK = 0.5


@dataclasses.dataclass(frozen=True)
class Options:
    """A version of a model, where it lies, the servers that follow, and how it is to go."""

    model: Subject = ""
    version: Subject = ""
    workdir: str = "workdir"
    """Folder of models/."""
    server: str = ""
    """HOST:PORT of the gRPC of a server that watches models.config: it loads, and is asked."""
    target_file: str = ""
    """In place of --server: Python file with a function target() that returns a Serving(…), as for
    `podway deploy kubernetes`."""
    observations: str = ""
    """Folder of what clients see; without it WORKDIR/models/MODEL/observations."""
    config: str = ""
    """CONFIG whose field `rollout` says how it goes; the options below change it."""
    rollout: Rollout = Rollout()
    """Shares, stays, margins."""
    without_gate: bool = False
    """Begin with a version that has a gate and did not pass it."""
    status: bool = False
    """Say where the model's last rollout stands, and do nothing."""
    abort: bool = False
    """Have the rollout that is under way go back."""
    json: bool = False
    """With --status: print JSON, for programs."""


def rollout(options: Options) -> None:
    """Begins a rollout or goes on with it, to its end; or says where it stands; or ends it."""
    from podway.export import layout

    check(
        not (options.status and options.abort),
        "--status and --abort exclude each other; give one of them",
    )
    home = layout.models(options.workdir) / options.model
    if options.status:
        _status(options, home)
        return
    if options.abort:
        _abort(options, home)
        return
    check(
        options.version.isdecimal(),
        f"VERSION is {options.version or 'missing'!r}; give the number of one: `podway versions"
        f" {options.model} --workdir {options.workdir}` lists them",
    )
    _run(options, int(options.version))


def _run(options: Options, version: int) -> None:
    from podway.launch.rollout import entry
    from podway.launch.rollout.target import RolloutError

    with session.of_model(options.model, options.workdir, version) as teller:
        last = entry.roll_out(
            options.model,
            version,
            options.rollout,
            _target(options),
            options.workdir,
            observations=options.observations,
            without_gate=options.without_gate,
            say=_say,
            tell=teller.tell,
        )
    if last.phase != "stable":
        raise RolloutError(f"{options.model} version {version} went back: {last.reason}")


def _target(options: Options) -> Target:
    if options.target_file:
        check(
            not options.server,
            "--server and --target-file are two places to serve; give one of them",
        )
        from podway.launch.rollout.weights import Weights
        from podway.launch.targets.kubernetes.serving.config import Serving
        from podway.launch.verbs.launch import file

        serving = file.load(pathlib.Path(options.target_file), Serving)
        return Weights(options.model, options.workdir, serving, say=_say)
    if not options.server:
        raise ConfigError(
            "--server is missing: give HOST:PORT of the gRPC of a server that watches"
            " models.config (`podway serve`), or --target-file for servers on Kubernetes"
        )
    from podway.launch.rollout.labels import Labels

    return Labels(options.model, options.workdir, options.server, say=_say)


def _status(options: Options, home: Any) -> None:
    from podway.framework.runs import lock
    from podway.launch.rollout import judgement
    from podway.online.rollout import state as states
    from podway.online.rollout import store

    state = _known(options, home)
    if options.json:
        print(states.text(state))
        return
    print(f"{state}, since {state.since}; before it: version {state.good}")
    if not state.is_over:
        holder = lock.holder_of(home)
        print(f"under the control of {holder}" if holder else "nobody takes it on: see --help")
        folder = (
            pathlib.Path(options.observations) / state.rollout
            if options.observations
            else store.observations(home, state.rollout)
        )
        file = folder / judgement.FILE
        if file.exists():
            print(judgement.progress(judgement.parse(file.read_text())[0]))
    for each in store.history(home):
        if each.rollout == state.rollout:
            print(f"  {each.since}  {each}")


def _known(options: Options, home: Any) -> State:
    from podway.launch.rollout.target import RolloutError
    from podway.online.rollout import store

    state = store.read(home)
    if state is None:
        raise RolloutError(
            f"{options.model} never had a rollout in {home.parent} (--workdir); `podway rollout"
            f" {options.model} VERSION` begins one"
        )
    return state


def _abort(options: Options, home: Any) -> None:
    """Leaves a demand; a controller that runs follows it, or else this process does."""
    from podway.framework import artifact
    from podway.framework.runs import lock
    from podway.launch.rollout.controller import ABORT, Controller
    from podway.launch.rollout.target import RolloutError

    state = _known(options, home)
    if state.is_over:
        raise RolloutError(f"{state}: it is over; `podway rollback` undoes a promotion")
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    demand = {"rollout": state.rollout, "who": lock.Holder.here().user, "when": when}
    artifact.write_atomically(home / ABORT, json.dumps(demand))
    try:
        with (
            lock.hold(home, "rolled out") as held,
            session.of_model(options.model, options.workdir, state.version) as teller,
        ):
            Controller(
                home,
                _target(options),
                options.observations,
                say=_say,
                check=held.check,
                tell=teller.tell,
            ).run()
        return
    except lock.LockedError:
        _say(f"{options.model}: told {lock.holder_of(home)}")
    while not (now := _known(options, home)).is_over and now.rollout == state.rollout:
        time.sleep(_LOOK)
    _say(str(now))


def _say(text: str) -> None:
    now = datetime.datetime.now().strftime("%H:%M:%S")
    print(f"{now}  {text}", flush=True)


def plan(overrides: list[str]) -> dict[str, Any]:
    """The rollout of --config, whose fields the other options change."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", nargs="?")
    name = parser.parse_known_args(overrides)[0].config
    return {"rollout": experiments.load(name).rollout} if name else {}


_MORE = """

The new version gets copies of requests (shadow), then a share of the users (canary), then all, as
long as nothing that clients see says that it is worse; then requests go back to the version before
it. The same command goes on after it was interrupted. Exits with 0 where the version is stable, and
with 1 where it went back."""

VERB = Verb(
    "bring a version to its users step by step, or back",
    Options,
    rollout,
    plan,
    of="MODEL [VERSION]",
    more=_MORE,
    example="podway rollout movielens_sasrec 4 --server localhost:8500 --workdir w",
)
