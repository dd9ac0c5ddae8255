"""Servers on Kubernetes, a Deployment for each version: requests move by the weights of a route.

Who names a label is sent to its version by the route, so that clients which split by themselves are
watched as anywhere; the weights are for all others. Labels in the workdir move along: they are what
`podway deploy kubernetes` deploys, and what `podway served` reads.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from podway.framework.error import check
from podway.launch.rollout.labels import Labels
from podway.launch.rollout.target import RolloutError
from podway.launch.targets import published
from podway.launch.targets.kubernetes.serving import check as own
from podway.launch.targets.kubernetes.serving import objects, rollout
from podway.launch.targets.kubernetes.serving.config import Serving
from podway.launch.targets.kubernetes.serving.deployed import Deployed
from podway.launch.targets.published import Published
from podway.online.rollout.state import CANARY, STABLE, State


class Weights:
    """The target of a model's Deployments.

    Args:
      model: its name.
      workdir: folder of models/, as this machine sees it.
      serving: the cluster, and how the model is served there.
      say: takes what was done, a line each.
      cluster: makes the client of the cluster; without it the official one.
      interval: seconds between two looks at pods.
    """

    def __init__(
        self,
        model: str,
        workdir: epath.PathLike,
        serving: Serving,
        *,
        say: Callable[[str], None] = print,
        cluster: Callable[[], Any] | None = None,
        interval: float = rollout.INTERVAL,
    ):
        check(
            bool(serving.gateway.name),
            "target.gateway.name is empty, so that there is no route whose weights could move;"
            " give the name of a Gateway",
        )
        self._model, self._workdir, self._serving = model, str(workdir), serving
        self._say, self._interval = say, interval
        self._labels = Labels(model, workdir, "", say=say)
        self._made: Any = None
        self._make = cluster

    @property
    def _cluster(self) -> Any:
        if self._made is None:
            if self._make is not None:
                self._made = self._make()
            else:
                from podway.launch.targets.kubernetes.cluster import Cluster

                self._made = Cluster(self._serving.namespace, self._serving.context)
        return self._made

    def good(self, version: int) -> int:
        """The version at the label stable, or that requests without a label get."""
        return self._labels.good(version)

    def prepare(self, state: State) -> None:
        """The good version at the label stable; its pods are deployed already, or are now."""
        shares = [share for share in state.plan.shares if not _percent(share)]
        check(
            not shares,
            f"rollout.shares has {shares}, and a route's weights are whole percents; give such",
        )
        self._labels.prepare(state)
        self._deploy(self._deployed({STABLE: state.good}, 0))

    def load(self, state: State) -> None:
        """Pods of the new version beside those of the good one, with no weight."""
        self._labels.load(state)
        self._deploy(self._both(state, 0))

    def share(self, state: State) -> None:
        """The weights of the share."""
        self._route(self._both(state, _percent(state.share)))

    def promote(self, state: State) -> None:
        """The stable pods become the new version's, one by one, while the canary answers too."""
        self._labels.promote(state)
        tracks = {STABLE: state.version, CANARY: state.version}
        self._deploy(self._deployed(tracks, _percent(state.share)))
        self._route(self._deployed(tracks, 0))

    def back(self, state: State) -> None:
        """No weight for the new version first, which is at once; then what pods serve."""
        found = self._cluster.get("apps/v1", "Deployment", self._stable_name(state))
        tracks = {STABLE: state.good}
        self._labels.back(state)
        if found is not None and _version(found) != state.good:  # it was on its way to stable
            self._deploy(self._deployed(tracks, 0))
        self._route(self._deployed(tracks, 0))

    def clean(self, state: State) -> None:
        """No label canary, and none of its objects."""
        self._labels.clean(state)
        alone = self._deployed({STABLE: self._wanted(state)}, 0)
        made = self._objects(alone)
        self._route(alone)
        for each in rollout.left(self._cluster, alone, made):
            self._cluster.delete(each)
            self._say(f"took away {each['kind']} {each['metadata']['name']}")

    def verify(self, state: State) -> str:
        """The cluster says that the stable pods serve the version, and that routes lead there."""
        wanted = self._wanted(state)
        found = self._deployed({STABLE: wanted}, 0)
        deployment = self._cluster.get("apps/v1", "Deployment", found.of_track(STABLE))
        now = rollout.look(self._cluster, found, STABLE)
        if _version(deployment) != wanted or not now.serving:
            raise RolloutError(
                f"{found.of_track(STABLE)} has version {_version(deployment)}, and {now}; version"
                f" {wanted} should serve"
            )
        for each in self._objects(found):
            if each["kind"] in objects.ROUTES:
                there = self._cluster.find(each)
                if there is None or _weights(there) != {found.of_track(STABLE): 100}:
                    raise RolloutError(
                        f"{each['kind']} {each['metadata']['name']} leads to"
                        f" {None if there is None else _weights(there)}, and should to"
                        f" {found.of_track(STABLE)} alone"
                    )
        return f"{found.of_track(STABLE)} serves version {wanted}: {now}, and routes lead there"

    def _wanted(self, state: State) -> int:
        return state.version if state.phase in ("promoting", "stable") else state.good

    def _both(self, state: State, percent: int) -> Deployed:
        return self._deployed({STABLE: state.good, CANARY: state.version}, percent)

    def _stable_name(self, state: State) -> str:
        return self._deployed({STABLE: state.good}, 0).of_track(STABLE)

    def _deployed(self, versions: Mapping[str, int], percent: int) -> Deployed:
        gateway = dataclasses.replace(self._serving.gateway, canary_percent=percent)
        tracks: dict[str, Published] = {
            track: published.read(self._model, version, self._workdir)
            for track, version in versions.items()
        }
        target = dataclasses.replace(self._serving, gateway=gateway)
        return Deployed(tracks, target, self._serving.workdir or self._workdir)

    def _objects(self, deployed: Deployed) -> list[dict[str, Any]]:
        made = objects.objects(deployed)
        problems = [*deployed.problems(), *own.problems(made)]
        if problems:
            raise RolloutError(problems[0])
        return made

    def _deploy(self, deployed: Deployed) -> None:
        """All but the routes, until the pods serve."""
        made = [each for each in self._objects(deployed) if each["kind"] not in objects.ROUTES]
        for each in self._cluster.apply(made):
            self._say(f"made {each}")
        rollout.until_ready(self._cluster, deployed, say=self._say, interval=self._interval)

    def _route(self, deployed: Deployed) -> None:
        routes = [each for each in self._objects(deployed) if each["kind"] in objects.ROUTES]
        self._cluster.apply(routes)


def _percent(share: float) -> int:
    """A share in whole percents; 0: it is none."""
    percent = round(100 * share)
    return percent if math.isclose(percent, 100 * share, abs_tol=1e-6) else 0


def _version(deployment: Mapping[str, Any]) -> int:
    labels = deployment["metadata"].get("labels") or {}
    return next((int(labels[name]) for name in labels if name.endswith("/version")), 0)


def _weights(route: Mapping[str, Any]) -> dict[str, int]:
    """Service → weight, of the rule for who names neither version nor label, which is the last. The
    API server gives the others weights, too: 1."""
    backends = route["spec"]["rules"][-1]["backendRefs"]
    return {each["name"]: each["weight"] for each in backends if each.get("weight")}
