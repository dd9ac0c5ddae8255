"""One request → its answer, whatever is down.

    history ─▶ retrieve ─▶ rank ─▶ attributes ─▶ rules ─▶ answer
       │           │          └ not in time: the retriever's order
       │           └ no answer: the last one for this user ─▶ a list that was made beforehand
       │                        ─▶ popular in the segment ─▶ popular
       └ no answer: the history that was last read, and the items of the session

Each hop has its share of the request's time. What stands in last is in memory, and needs nobody.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from podway.framework.config.online import Arm, Gateway, Rules
from podway.online.error import StoreError
from podway.online.experiments import assignment
from podway.online.gateway import known as knowledge
from podway.online.gateway import models as backends
from podway.online.gateway.answer import Answer, Candidate, Recommended, Source
from podway.online.gateway.guard.deadline import Deadline
from podway.online.gateway.known import Known, Profile
from podway.online.gateway.lists import Following, Lists
from podway.online.gateway.memory import Memory
from podway.online.gateway.metrics import Metrics
from podway.online.gateway.models import FILTERED, Asked, Models, Retrieved
from podway.online.gateway.request import Request
from podway.online.gateway.rules import Situation, applied, barred
from podway.online.servers.answer import ServerError

STORE, RETRIEVE, RANK, ITEMS, BUSY = "store", "retrieve", "rank", "items", "busy"
"""Hops, as an answer's `missing` names them."""


class Recommender:
    """Answers; belongs to an event loop.

    Args:
      gateway: its config.
      models: that it asks.
      known: users and items.
      lists: what is popular, new, allowed, denied.
      metrics: what it tells.
    """

    def __init__(
        self, gateway: Gateway, models: Models, known: Known, lists: Following, metrics: Metrics
    ):
        self._gateway, self._models = gateway, models
        self._known, self._lists, self._metrics = known, lists, metrics
        self._cache = Memory[object, Retrieved](gateway.remembered, gateway.cache_seconds)
        self._last = Memory[object, Retrieved](gateway.remembered, gateway.last_seconds)
        self._always: tuple[Candidate, ...] = tuple((i, 0.0, "always") for i in gateway.always)
        self._reads = backends.used(gateway.ranker)
        self._under_way = 0

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._under_way

    async def answer(self, request: Request) -> Answer:
        """The answer; there always is one."""
        seconds = self._gateway.budget.seconds
        deadline = Deadline(min(seconds, request.seconds or seconds))
        missing: dict[str, str] = {}
        self._under_way += 1
        try:
            return await self._answer(request, deadline, missing)
        finally:
            self._under_way -= 1
            for hop, code in missing.items():
                self._metrics.missing.labels(hop, code).inc()

    async def _answer(
        self, request: Request, deadline: Deadline, missing: dict[str, str]
    ) -> Answer:
        how, budget = self._gateway, self._gateway.budget
        found = assignment.assigned(how.trials, request.user)
        rules, now = assignment.rules_of(found, how.rules), time.time()
        lists = self._lists.now
        self._lists.want(request.segment)
        busy = self._under_way > how.in_flight
        profile = await self._profile(request, 0.0 if busy else deadline.hop(budget.store), missing)
        situation = Situation(
            seen=profile.seen.union(request.items) if request.items else profile.seen,
            shown=profile.shown,
            exclude=request.exclude,
            allow=lists.allow,
            deny=lists.deny,
            new=lists.new if rules.new_slots else (),
            now=now,
            salt=request.user or request.id,
        )
        source: Source = "none"
        retrieved: Retrieved | None = None
        if busy:
            missing[BUSY] = "IN_FLIGHT"
        else:
            if not self._is_cold(profile, request, lists):
                source, retrieved = await self._retrieved(
                    request, profile, rules, situation, found.arm, deadline, missing
                )
            if retrieved is None:
                retrieved = await self._stored(request, profile, now, deadline, missing)
                source = "stored"
        groups = self._groups(request, retrieved, lists)
        k = request.k or how.k
        if not busy:
            await self._load(groups, rules, deadline, missing)
        taken = applied(rules, groups, k, situation, self._known.item)
        if not rules_need(rules) and not busy:
            await self._load([taken], None, deadline, missing)
        known = self._known.item
        items: tuple[Recommended, ...] = tuple(
            [(item, score, reason, known(item)) for item, score, reason in taken]
        )
        if retrieved is None:
            return Answer(request.id, items, _source(taken), trials=found.arms, missing=missing)
        return Answer(
            request.id,
            items,
            source,
            retrieved.model,
            retrieved.version,
            retrieved.arm,
            found.arms,
            missing,
            0.0 if source == "model" else max(0.0, round(now - retrieved.time, 3)),
        )

    async def _profile(self, request: Request, seconds: float, missing: dict[str, str]) -> Profile:
        start = time.perf_counter()
        profile = await self._known.user(request.user, seconds)
        self._metrics.hops.labels(STORE).observe(time.perf_counter() - start)
        if profile.missing:
            missing[STORE] = "UNAVAILABLE"
        return profile

    def _is_cold(self, profile: Profile, request: Request, lists: Lists) -> bool:
        """Whether nothing is known of the user, so that a list answers; where the store did not
        say, the model's last answer may be known."""
        if profile.items or request.items or self._gateway.cold == "model":
            return False
        if profile.missing and self._last.get(_owner(request, None)) is not None:
            return False
        return bool(lists.popular or lists.segment(request.segment))

    async def _retrieved(
        self,
        request: Request,
        profile: Profile,
        rules: Rules,
        situation: Situation,
        arm: Arm | None,
        deadline: Deadline,
        missing: dict[str, str],
    ) -> tuple[Source, Retrieved | None]:
        """Candidates of the models, now or a while ago."""
        key = self._key(request, profile, rules, situation, arm)
        if (cached := self._cache.get(key)) is not None:
            return "cache", cached
        items, times = knowledge.with_session(profile, request.items, situation.now)
        owner = _owner(request, arm)
        if not items and profile.missing and (last := self._last.get(owner)) is not None:
            return "last", last
        filtered = self._gateway.signature == FILTERED
        asked = Asked(
            items,
            times,
            tuple({*rules.allow, *situation.allow}) if filtered else (),
            tuple(barred(rules, situation)) if filtered else (),
        )
        start = time.perf_counter()
        try:
            retrieved = await self._models.retrieve(
                request.user or request.id,
                asked,
                arm,
                request.id,
                deadline.hop(self._gateway.budget.retrieve),
            )
        except ServerError as error:
            missing[RETRIEVE] = error.code
            last = self._last.get(owner)
            return ("last", last) if last is not None else ("none", None)
        finally:
            self._metrics.hops.labels(RETRIEVE).observe(time.perf_counter() - start)
        retrieved = await self._ranked(request, retrieved, deadline, missing)
        if not missing:
            self._cache.put(key, retrieved)
        if request.user:
            self._last.put(owner, retrieved)
        return "model", retrieved

    async def _stored(
        self,
        request: Request,
        profile: Profile,
        now: float,
        deadline: Deadline,
        missing: dict[str, str],
    ) -> Retrieved | None:
        """The user's list of `podway predict --store`, if it is not too old."""
        longest = self._gateway.stored_seconds
        if not longest or not request.user or profile.missing:
            return None
        try:
            found = await self._known.listed(request.user, deadline.hop(self._gateway.budget.store))
        except StoreError:
            missing[STORE] = "UNAVAILABLE"
            return None
        if found is None or not now - found.created <= longest:
            return None
        candidates: tuple[Candidate, ...] = tuple((i, score, "stored") for i, score in found.items)
        return Retrieved(candidates, found.model, None, "", found.created)

    async def _ranked(
        self, request: Request, retrieved: Retrieved, deadline: Deadline, missing: dict[str, str]
    ) -> Retrieved:
        ranker = self._gateway.ranker
        if not ranker.model:
            return retrieved
        start = time.perf_counter()
        seconds = deadline.hop(self._gateway.budget.rank)
        first = [item for item, _, _ in retrieved.candidates[: ranker.candidates]]
        try:
            if self._reads and await self._known.load(first, seconds):
                missing[ITEMS] = "UNAVAILABLE"
            ranked = await self._models.rank(
                request,
                retrieved.candidates,
                {item: self._known.item(item) for item in first},
                min(seconds, deadline.left()),
            )
        except ServerError as error:
            missing[RANK] = error.code
            return retrieved
        finally:
            self._metrics.hops.labels(RANK).observe(time.perf_counter() - start)
        return dataclasses.replace(retrieved, candidates=ranked)

    def _groups(
        self, request: Request, retrieved: Retrieved | None, lists: Lists
    ) -> list[Sequence[Candidate]]:
        """The model's candidates, and what fills up behind them, each as good as the one before."""
        return [
            retrieved.candidates if retrieved else (),
            lists.segment(request.segment),
            lists.popular,
            self._always,
        ]

    async def _load(
        self,
        groups: Sequence[Sequence[Candidate]],
        rules: Rules | None,
        deadline: Deadline,
        missing: dict[str, str],
    ) -> None:
        """Has attributes of items at hand: of all candidates where rules read them."""
        if rules is not None and not rules_need(rules):
            return
        items = [item for item, _, _ in groups[0]]
        if await self._known.load(items, deadline.hop(self._gateway.budget.store)):
            missing[ITEMS] = "UNAVAILABLE"

    def _key(
        self,
        request: Request,
        profile: Profile,
        rules: Rules,
        situation: Situation,
        arm: Arm | None,
    ) -> tuple[object, ...]:
        """What the models' answer depends on."""
        user = request.user
        key: tuple[object, ...] = (
            user,
            profile.state,
            request.items,
            self._models.which(user or request.id, arm),
        )
        if self._gateway.ranker.model:
            key += (request.segment, request.device)
        if self._gateway.signature == FILTERED:
            key += (rules, request.exclude, situation.allow, situation.deny)
        return key


def rules_need(rules: Rules) -> bool:
    """Whether rules read attributes of items."""
    return bool(rules.where or rules.category or rules.fresh)


def _owner(request: Request, arm: Arm | None) -> tuple[str, str, str]:
    """Whose last answer it is: arms that ask other models have answers of their own."""
    return (request.user, arm.model, arm.label) if arm else (request.user, "", "")


def _source(taken: Sequence[Candidate]) -> Source:
    """Of a list that no model made: where its first item is from that is not merely new."""
    reasons: Mapping[str, Any] = {"segment": "segment", "popular": "popular", "always": "always"}
    return next((reasons[reason] for _, _, reason in taken if reason in reasons), "none")
