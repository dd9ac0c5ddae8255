"""Takes a rollout from where it stands to its end.

Nothing is kept in memory alone: the state stands in rollout.json, what was seen in judgement.json
beside the observations. So a controller that is killed anywhere is followed by another one, which
does what the state says. Each step of a target can be repeated.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping

from etils import epath

from podway.framework import artifact, exit_codes
from podway.framework.config.rollout import Rollout
from podway.framework.error import PodwayError
from podway.launch.rollout import decision, judgement
from podway.launch.rollout.judgement import Judgement
from podway.launch.rollout.target import RolloutError, Target
from podway.online.rollout import observation, spool, store
from podway.online.rollout import state as states
from podway.online.rollout.state import State

ABORT = "rollout-abort.json"
"""In the model's folder: the rollout that is to go back, on whose demand."""
_AGAIN = 2.0
"""Seconds until a way back that did not succeed is tried again."""
_SAID = 10.0
"""Seconds between two lines about how it goes."""


class StuckError(RolloutError):
    """A way back that did not end in time; another try may."""

    exit_code = exit_codes.LOST


@dataclasses.dataclass
class Controller:
    """Takes one rollout to its end. The caller holds the model's lock.

    Attributes:
      home: folder of the model.
      target: the servers.
      observations: folder of what clients have seen, by rollout; "": in the model's.
      say: takes what happens, a line each.
      check: raises when the lock is lost.
      tell: takes "rollout" and the model's folder after each change, for who keeps track of it.
      patience: seconds for the way back; after it the controller gives up, with the state as it is.
    """

    home: epath.Path
    target: Target
    observations: str = ""
    say: Callable[[str], None] = print
    check: Callable[[], None] = lambda: None
    patience: float = 600.0
    tell: Callable[[str, epath.Path], None] = lambda kind, home: None

    def begin(self, model: str, version: int, plan: Rollout) -> State:
        """A new rollout, or the one of this version that is under way. Raises RolloutError."""
        before = store.read(self.home)
        if before is not None and not before.is_over:
            if before.version != version:
                raise RolloutError(
                    f"{before}: one rollout of a model at a time; wait for it, or end it by"
                    f" `podway rollout {model} --abort`"
                )
            if before.plan != plan:
                self.say(f"{model}: goes on as it was begun: {_difference(before.plan, plan)}")
            return before
        good = self.target.good(version)
        new = states.begin(model, version, good, plan, states.now())
        self._folder(new)  # which says early what cannot be
        self.target.prepare(new)
        self._become(new)
        return new

    def run(self) -> State:
        """Goes on to the end. Returns the last state: stable, or returned.

        Raises StuckError: the way back did not succeed yet.
        """
        state = store.read(self.home)
        if state is None:
            raise RolloutError(f"{self.home} has no rollout; `podway rollout MODEL VERSION`")
        while not state.is_over:
            self.check()
            state = self._step(state)
        (self.home / ABORT).unlink(missing_ok=True)
        return state

    def _step(self, state: State) -> State:
        if state.phase != "returning" and (who := self._aborted(state)):
            return self._back(state, f"ended by {who}")
        match state.phase:
            case "loading":
                return self._tried(state, self.target.load)
            case "promoting":
                return self._tried(state, self._promote)
            case "returning":
                return self._return(state)
        return self._judge(state)

    def _tried(self, state: State, act: Callable[[State], None]) -> State:
        """Does what a phase is for; what cannot be done sends the version back."""
        try:
            act(state)
        except PodwayError as error:
            return self._back(state, str(error))
        return self._become(states.forward(state, states.now()))

    def _promote(self, state: State) -> None:
        self.target.promote(state)
        self.say(self.target.verify(state))
        time.sleep(state.plan.client_seconds)
        self.target.clean(state)
        self.target.verify(state)

    def _return(self, state: State) -> State:
        """To the good version; tried again until the servers say that it is so."""
        end = time.monotonic() + self.patience
        while True:
            try:
                self.target.back(state)
                said = self.target.verify(state)
                after = states.seconds(state.evidence, states.now())
                self.say(f"{said}, {after:.1f} s after the evidence")
                # Clients that have not looked since then still name the label.
                time.sleep(max(0.0, state.plan.client_seconds - after))
                self.target.clean(state)
                self.target.verify(state)
                break
            except PodwayError as error:
                self.check()
                if time.monotonic() > end:
                    raise StuckError(
                        f"{state.model} is on its way back to version {state.good}, but after"
                        f" {self.patience:.0f} s: {error}; the same command tries again"
                    ) from error
                self.say(f"not there yet: {error}")
                time.sleep(_AGAIN)
        done = self._become(states.forward(state, states.now()))
        after = states.seconds(state.evidence, done.since)
        self.say(f"{state.model}: back to version {state.good} {after:.1f} s after the evidence")
        return done

    def _judge(self, state: State) -> State:
        """Looks at what clients see, until that decides."""
        try:
            self.target.share(state)
        except PodwayError as error:
            return self._back(state, str(error))
        seen, offsets = self._remembered(state)
        said = time.monotonic() + _SAID
        while True:
            self.check()
            if who := self._aborted(state):
                return self._back(state, f"ended by {who}")
            new = spool.read(self._folder(state), offsets)
            seen, offsets = self._fold(state, seen, new), new.offsets
            self._remember(state, seen, offsets)
            found = decision.of(state, seen, states.now())
            if found.action == "back":
                return self._back(state, found.reason)
            if found.action == "forward":
                self.say(found.reason)
                return self._become(states.forward(state, states.now()))
            if time.monotonic() > said:
                self.say(f"{state}: {judgement.progress(seen)}")
                said = time.monotonic() + _SAID
            time.sleep(state.plan.interval_seconds)

    def _fold(self, state: State, seen: Judgement, new: spool.Read) -> Judgement:
        tallies = new.tallies
        parts = [tallies[arm] for arm in ("canary", "shadow") if arm in tallies]
        both = observation.total(parts)
        old = observation.total([tallies[arm] for arm in ("stable",) if arm in tallies])
        return judgement.fold(state.plan, seen, old, both, decision.stage(state))

    def _back(self, state: State, reason: str) -> State:
        return self._become(states.back(state, reason, states.now()))

    def _become(self, new: State) -> State:
        store.change(self.home, new)
        self.say(str(new))
        self.tell("rollout", self.home)
        return new

    def _aborted(self, state: State) -> str:
        """Who wants this rollout to go back; "": nobody."""
        try:
            asked = json.loads((self.home / ABORT).read_text())
            return str(asked["who"]) if asked["rollout"] == state.rollout else ""
        except FileNotFoundError:
            return ""
        except (ValueError, KeyError, TypeError) as error:
            raise RolloutError(f"{self.home / ABORT} is no demand: {error}; delete it") from error

    def _folder(self, state: State) -> pathlib.Path:
        if self.observations:
            return pathlib.Path(self.observations) / state.rollout
        place = os.fspath(store.observations(self.home, state.rollout))
        if "://" in place:
            raise RolloutError(
                f"observations cannot be appended to {place}; give --observations FOLDER, on a"
                " disk that clients share"
            )
        return pathlib.Path(place)

    def _remembered(self, state: State) -> tuple[Judgement, Mapping[str, int]]:
        path = self._folder(state) / judgement.FILE
        try:
            return judgement.parse(path.read_text())
        except FileNotFoundError:
            return judgement.begin(state.plan), {}
        except (ValueError, KeyError, TypeError) as error:
            raise RolloutError(
                f"{path} is no judgement of a rollout: {error}; delete it, and what clients saw is"
                " read anew"
            ) from error

    def _remember(self, state: State, seen: Judgement, offsets: Mapping[str, int]) -> None:
        artifact.write_atomically(
            self._folder(state) / judgement.FILE, judgement.text(seen, offsets)
        )


def _difference(one: Rollout, other: Rollout) -> str:
    return ", ".join(
        f"rollout.{field.name} stays {getattr(one, field.name)}"
        for field in dataclasses.fields(Rollout)
        if getattr(one, field.name) != getattr(other, field.name)
    )
