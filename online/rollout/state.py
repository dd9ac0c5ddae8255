"""The state of a model's rollout, and how it may change. Pure functions of one state to the next.

    loading ──▶ shadow ──▶ canary ──▶ canary ──▶ … ──▶ promoting ──▶ stable
       │           │          │          │                 │
       └───────────┴──────────┴──────────┴─────────────────┴──▶ returning ──▶ returned

What a state says is what is to be. The share in it holds for clients at once, so that it is above
0 only where a server has the version already, and falls to 0 before anything is taken away.
"""

import dataclasses
import datetime
import json
import typing
import uuid
from typing import Any, Literal

from podway.framework import codec
from podway.framework.config.rollout import Rollout
from podway.online.error import OnlineError

FORMAT = 1
Phase = Literal["loading", "shadow", "canary", "promoting", "stable", "returning", "returned"]
OVER: tuple[Phase, ...] = ("stable", "returned")
STABLE, CANARY = "stable", "canary"
"""Labels of the version that most get, and of the new one."""


@dataclasses.dataclass(frozen=True)
class State:
    """Of one rollout, at one moment.

    Attributes:
      rollout: its own name, never used twice.
      model: name of the model.
      version: the new one.
      good: the one before it, to which requests go back.
      plan: how it is to go.
      phase: where it is.
      stage: which of the plan's shares; -1 before the first.
      share: of the users, who get the new version.
      shadow: share of the requests that are copied to it.
      begun: when the rollout began (UTC, ISO 8601, as all times here).
      since: when this state did.
      number: of changes before this one.
      reason: why it goes back, in words.
      evidence: when what sends it back was known.
    """

    rollout: str
    model: str
    version: int
    good: int
    plan: Rollout
    phase: Phase
    stage: int
    share: float
    shadow: float
    begun: str
    since: str
    number: int
    reason: str = ""
    evidence: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.phase in OVER

    def __str__(self) -> str:
        said = f"{self.model} version {self.version}: {self.phase}"
        if self.phase == "canary":
            said += f" at {self.share:.2%} of the users"
        if self.phase == "shadow":
            said += f" of {self.shadow:.2%} of the requests"
        return said + (f" ({self.reason})" if self.reason else "")


def begin(model: str, version: int, good: int, plan: Rollout, now: str) -> State:
    """The first state of a new rollout."""
    return State(
        rollout=f"{version}-{uuid.uuid4().hex[:12]}",
        model=model,
        version=version,
        good=good,
        plan=plan,
        phase="loading",
        stage=-1,
        share=0.0,
        shadow=0.0,
        begun=now,
        since=now,
        number=0,
    )


def forward(state: State, now: str) -> State:
    """The next state where all goes well: of loading, of a share that was enough, of promoting."""
    plan = state.plan
    match state.phase:
        case "loading" if plan.shadow > 0:
            return _changed(state, now, phase="shadow", shadow=plan.shadow)
        case "loading" | "shadow" | "canary":
            stage = state.stage + 1
            if stage == len(plan.shares):
                return _changed(state, now, phase="promoting", shadow=0.0)
            share = plan.shares[stage]
            return _changed(state, now, phase="canary", stage=stage, share=share, shadow=0.0)
        case "promoting":
            return _changed(state, now, phase="stable", share=0.0)
        case "returning":
            return _changed(state, now, phase="returned")
    raise ValueError(f"nothing comes after {state.phase}")


def back(state: State, reason: str, now: str) -> State:
    """The state in which a rollout goes back; nobody gets the new version from here on."""
    if state.is_over or state.phase == "returning":
        raise ValueError(f"nothing goes back from {state.phase}")
    return _changed(
        state, now, phase="returning", share=0.0, shadow=0.0, reason=reason, evidence=now
    )


def _changed(state: State, now: str, **fields: Any) -> State:
    return dataclasses.replace(state, since=now, number=state.number + 1, **fields)


def now() -> str:
    """This moment."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def seconds(start: str, end: str) -> float:
    """From one time to another."""
    return (_time(end) - _time(start)).total_seconds()


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def text(state: State) -> str:
    """As it stands in a file, in one line."""
    content = {
        field.name: getattr(state, field.name)
        for field in dataclasses.fields(State)
        if field.name != "plan"
    }
    content |= {"format": FORMAT, "plan": codec.to_json(state.plan)}
    return json.dumps(content, ensure_ascii=False)


def parse(line: str, where: str) -> State:
    """The state in a text. Raises OnlineError that says where it is none."""
    try:
        content = json.loads(line)
        found = content.pop("format")
        if found != FORMAT:
            raise OnlineError(
                f"{where} has the format {found}, and this Podway reads {FORMAT}; use the one that"
                " wrote it"
            )
        state = State(**(content | {"plan": codec.from_json(Rollout, content["plan"], "plan")}))
        if state.phase not in typing.get_args(Phase):
            raise ValueError(f"there is no phase {state.phase!r}")
        for moment in (state.begun, state.since):
            _time(moment)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OnlineError(f"{where} is no state of a rollout: {error}") from error
    return state
