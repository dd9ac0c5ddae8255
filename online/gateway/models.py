"""The models that a gateway asks: one that retrieves, and perhaps one that ranks."""

import contextlib
import dataclasses
import itertools
import math
import operator
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from podway.framework.config.online import Arm, Column, Gateway, Ranker
from podway.online.gateway.answer import Candidate, Reason
from podway.online.gateway.guard.guarded import Guarded
from podway.online.gateway.request import Request
from podway.online.rollout import client
from podway.online.rollout.client import Client, Options
from podway.online.servers import rest, rpc
from podway.online.servers.answer import Server, ServerError

FILTERED = "filtered"
_MOST_DENIED = 1000
_SCORE = operator.itemgetter(1)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a retriever is asked.

    Attributes:
      items: of the history, oldest first.
      times: of the same, in seconds since 1970.
      allow: only these, where the signature takes that; empty: all.
      deny: none of these, where the signature takes that.
    """

    items: Sequence[str]
    times: Sequence[int]
    allow: Sequence[str] = ()
    deny: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Retrieved:
    """What a model answered.

    Attributes:
      candidates: best first.
      model: its name.
      version: that answered; None: nobody knows.
      arm: of a rollout.
      time: seconds since 1970, when it answered.
    """

    candidates: tuple[Candidate, ...]
    model: str
    version: int | None
    arm: str
    time: float


class Models:
    """Made by `opened`; belongs to an event loop.

    Args:
      gateway: whom to ask.
      model: that retrieves.
      guarded: its server.
      clients: of each model that retrieves, which know of its rollouts.
      ranking: the ranker's server; None: there is no ranker.
    """

    def __init__(
        self,
        gateway: Gateway,
        model: str,
        guarded: Guarded,
        clients: Mapping[str, Client],
        ranking: Guarded | None,
    ):
        self._gateway, self._model = gateway, model
        self.guarded, self._clients, self.ranking = guarded, clients, ranking

    def which(self, user: str, arm: Arm | None) -> tuple[object, ...]:
        """What decides on the version for a user, to tell answers of different ones apart."""
        name, label = self._chosen(arm)
        split = self._clients[name].split
        return (name, label) if label else (name, split.rollout, split.arm(user), split.stable)

    async def retrieve(
        self, key: str, asked: Asked, arm: Arm | None, request: str, seconds: float
    ) -> Retrieved:
        """Asks for candidates. Raises ServerError.

        Args:
          key: of whom it is for; it decides on the version.
          asked: what is asked.
          arm: of a trial, which may name another model or label; None: of none.
          request: id of it.
          seconds: that it has.
        """
        name, label = self._chosen(arm)
        how = self._gateway
        items, times = asked.items or ("",), asked.times or (0,)
        inputs: dict[str, Any] = {"history": [items]}
        if how.times:
            inputs["times"] = [times]
        if how.signature == FILTERED:
            inputs["allow"] = [list(asked.allow) or [""]]
            inputs["deny"] = [list(asked.deny)[:_MOST_DENIED] or [""]]
        if label:
            answer = await self.guarded.predict(
                name, inputs, signature=how.signature, label=label, timeout=seconds
            )
            outputs, version, by = answer.outputs, answer.version, label
        else:
            given = await self._clients[name].predict(key, inputs, request=request, timeout=seconds)
            outputs, version, by = given.outputs, given.version, given.arm
        return Retrieved(_candidates(outputs), name, version, by, time.time())

    async def rank(
        self,
        request: Request,
        candidates: Sequence[Candidate],
        known: Mapping[str, Mapping[str, Any]],
        seconds: float,
    ) -> tuple[Candidate, ...]:
        """The first candidates in the ranker's order, the others behind them. Raises ServerError.

        Args:
          request: whose user, segment and device columns may ask for.
          candidates: best first.
          known: attributes of each.
          seconds: that it has.
        """
        ranker = self._gateway.ranker
        first, others = candidates[: ranker.candidates], candidates[ranker.candidates :]
        if self.ranking is None or not first:
            return tuple(candidates)
        inputs = {
            column.name: [_value(column, request, each, known[each[0]]) for each in first]
            for column in ranker.columns
        }
        answer = await self.ranking.predict(
            ranker.model, inputs, signature=ranker.signature, timeout=seconds
        )
        scores = [_number(value) for value in answer.rows(ranker.output)]
        if len(scores) != len(first) or not any(map(math.isfinite, scores)):
            raise ServerError(
                "UNKNOWN",
                f"{ranker.model} has no output {ranker.output} with a finite number for each of"
                f" {len(first)} candidates",
            )
        ranked: list[Candidate] = sorted(
            (
                (item, score, "ranked")
                for (item, _, _), score in zip(first, scores, strict=True)
                if math.isfinite(score)
            ),
            key=_SCORE,
            reverse=True,
        )
        # Scores of the two models do not compare: what was not ranked stands below.
        below = ranked[-1][1]
        return (*ranked, *((item, below, reason) for item, _, reason in others))

    def _chosen(self, arm: Arm | None) -> tuple[str, str]:
        if arm is None:
            return self._model, ""
        return arm.model or self._model, arm.label


@contextlib.asynccontextmanager
async def opened(gateway: Gateway, model: str, workdir: str) -> AsyncIterator[Models]:
    """The models of a gateway, for the time of a block. Nothing is asked yet: a server that is not
    there is no reason not to start.

    Args:
      gateway: its config.
      model: that retrieves, where the config does not say.
      workdir: whose models/ say where rollouts stand.
    """
    model = gateway.model or model
    budget, ranker = gateway.budget, gateway.ranker
    whole = budget.seconds * budget.retrieve
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(connected(gateway.server))
        guarded = Guarded(server, gateway.guard, whole)
        arms = [arm.model for trial in gateway.trials for arm in trial.arms]
        options = Options(signature=gateway.signature, timeout=whole)
        clients = {
            name: await stack.enter_async_context(
                client.opened(os.path.join(workdir, "models", name), guarded, options)
            )
            for name in {model, *arms} - {""}
        }
        ranking = None
        if ranker.model:
            types = {each.name: each.type for each in ranker.columns}
            at = connected(ranker.server or gateway.server, types)
            ranking = Guarded(
                await stack.enter_async_context(at), gateway.guard, budget.seconds * budget.rank
            )
        yield Models(gateway, model, guarded, clients, ranking)


@contextlib.asynccontextmanager
async def connected(address: str, types: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    """A model server, by the protocol that its address asks for."""
    if address.startswith(("http://", "https://")):
        async with rest.connected(address) as server:
            yield server
    else:
        async with rpc.connected(address, types) as server:
            yield server


def used(ranker: Ranker) -> bool:
    """Whether a ranker reads attributes of items."""
    return any(column.source.startswith("item.") for column in ranker.columns)


def _candidates(outputs: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """Of the one row. Raises ServerError: there are no items, or no score for each."""
    try:
        [items], [scores] = outputs["item"], outputs["score"]
        if set(map(type, scores)) != {float}:
            scores = [_number(score) for score in scores]
        found: list[Candidate] = list(zip(items, scores, _reasons(len(items)), strict=True))
    except (KeyError, ValueError, TypeError) as error:
        raise ServerError(
            "UNKNOWN", f"the answer has no outputs item and score of one row: {error!r}"
        ) from error
    if "" in items or not all(map(math.isfinite, scores)):
        found = [each for each in found if each[0] and math.isfinite(each[1])]
    found.sort(key=_SCORE, reverse=True)
    return tuple(found)


def _reasons(count: int) -> Iterator[Reason]:
    return itertools.repeat("retrieved", count)


def _number(value: Any) -> float:
    one: Any = value[0] if isinstance(value, list) and len(value) == 1 else value
    try:
        return float(one)
    except (TypeError, ValueError):
        return math.nan


def _value(
    column: Column, request: Request, candidate: Candidate, attributes: Mapping[str, Any]
) -> Any:
    match column.source:
        case "item":
            value: Any = candidate[0]
        case "score":
            value = candidate[1]
        case "user" | "segment" | "device":
            value = getattr(request, column.source)
        case source:
            value = attributes.get(source.removeprefix("item."))
    if column.type == "string":
        return "" if value is None else str(value)
    number = _number(value)
    if not math.isfinite(number):
        number = 0.0
    return number if column.type == "float32" else int(number)
