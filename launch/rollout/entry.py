"""Which versions may begin a rollout, and a rollout from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable

from etils import epath

from podway.export import layout
from podway.export.versions import promote
from podway.framework.config import Rollout
from podway.framework.runs import lock
from podway.launch.gate import admission
from podway.launch.rollout.controller import Controller
from podway.launch.rollout.target import Target
from podway.online.rollout import store
from podway.online.rollout.state import State


def check_admitted(
    workdir: epath.PathLike, model: str, version: int, *, without_gate: bool = False
) -> None:
    """Raises PodwayError unless a version may come to users: whole, verified, past its gate."""
    promote.check_admissible(layout.models(workdir) / model / str(version))
    if not without_gate:
        admission.check(workdir, model, version)


def roll_out(
    model: str,
    version: int,
    plan: Rollout,
    target: Target,
    workdir: epath.PathLike,
    *,
    observations: str = "",
    without_gate: bool = False,
    say: Callable[[str], None] = print,
    tell: Callable[[str, epath.Path], None] = lambda kind, home: None,
) -> State:
    """Begins a rollout, or goes on with the one of this version, to its end.

    `tell` takes "rollout" and the model's folder after each change, for who keeps track of it.

    Returns its last state: stable, or returned. Raises LockedError: another controller is at work;
    RolloutError: it cannot begin, or the way back did not succeed yet.
    """
    home = layout.models(workdir) / model
    before = store.read(home)
    if before is None or before.is_over or before.version != version:
        check_admitted(workdir, model, version, without_gate=without_gate)
    with lock.hold(home, "rolled out") as held:
        controller = Controller(home, target, observations, say, held.check, tell=tell)
        before = store.read(home)
        if (
            before is not None
            and before.phase == "stable"
            and before.version == version == _at_stable(model, workdir)
        ):
            say(f"{before}, since {before.since}; there is nothing to do")
            return before
        controller.begin(model, version, plan)
        return controller.run()


def _at_stable(model: str, workdir: epath.PathLike) -> int | None:
    served, _, _ = promote.read(model, workdir)
    return served.labels.get("stable")
