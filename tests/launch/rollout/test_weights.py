"""Rollouts by the weights of a route, on a stand-in of a cluster that keeps what is applied."""

import copy
import dataclasses
import pathlib

import pytest

from podway.export import layout
from podway.export.versions import models_config
from podway.export.versions.models_config import Served
from podway.framework.error import ConfigError
from podway.launch.rollout.controller import Controller
from podway.launch.rollout.weights import Weights
from podway.launch.targets.kubernetes.serving.config import Gateway, Serving
from podway.online.rollout import store
from tests.launch.rollout.test_controller import PLAN, home_of, see, workdir  # noqa: F401
from tests.launch.targets.kubernetes.serving.conftest import DIGEST

SERVING = Serving(
    image=DIGEST, workdir="gs://bucket/w", gateway=Gateway("public", host="m.example", grpc=True)
)


class FakeCluster:
    """Keeps objects; pods of a version serve at once, or never."""

    namespace = "podway-serving"

    def __init__(self, broken: tuple[int, ...] = ()):
        self.broken = broken
        self.objects = {}
        self.weights = []
        self.lost = []

    def apply(self, objects, *, dry_run=False):
        new = []
        for each in copy.deepcopy(objects):
            key = (each["kind"], each["metadata"]["name"])
            if key not in self.objects:
                new.append(" ".join(key))
            self.objects[key] = each
            if each["kind"] == "HTTPRoute":
                (last,) = [r for r in each["spec"]["rules"] if "weight" in r["backendRefs"][0]]
                found = {b["name"]: b["weight"] for b in last["backendRefs"]}
                self.weights.append(found)
                self.lost += [name for name in found if ("Deployment", name) not in self.objects]
        return new

    def find(self, wanted):
        return self.get("", wanted["kind"], wanted["metadata"]["name"])

    def get(self, version, kind, name):
        found = copy.deepcopy(self.objects.get((kind, name)))
        if found is None or kind != "Deployment":
            return found
        serving = int(found["metadata"]["labels"]["podway.dev/version"]) not in self.broken
        found["metadata"]["generation"] = 1
        found["spec"]["replicas"] = 1
        pods = 1 if serving else 0
        late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
        found["status"] = {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": pods,
            "conditions": [] if serving else [late],
        }
        return found

    def list(self, version, kind, labels=""):
        wanted = dict(pair.split("=") for pair in labels.split(","))
        if kind == "Pod":
            return [
                self._pod(each)
                for (sort, _), each in self.objects.items()
                if sort == "Deployment" and wanted.items() <= each["metadata"]["labels"].items()
            ]
        return [
            each
            for (sort, _), each in self.objects.items()
            if sort == kind and wanted.items() <= each["metadata"]["labels"].items()
        ]

    def _pod(self, deployment):
        version = deployment["metadata"]["labels"]["podway.dev/version"]
        ready = int(version) not in self.broken
        metadata = {"name": "pod", "labels": deployment["metadata"]["labels"]}
        conditions = [{"type": "Ready", "status": str(ready)}]
        return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}}

    def delete(self, wanted):
        return bool(self.objects.pop((wanted["kind"], wanted["metadata"]["name"]), None))

    def versions(self):
        return {
            name: int(each["metadata"]["labels"]["podway.dev/version"])
            for (kind, name), each in self.objects.items()
            if kind == "Deployment"
        }


class Seeing(Weights):
    """Clients that see something at each share."""

    code = ""

    def share(self, now):
        super().share(now)
        see(pathlib.Path(self._workdir), now.rollout, self.code)


def run(workdir, cluster, code: str = ""):  # noqa: F811
    target = Seeing("m", workdir, SERVING, say=lambda _: None, cluster=lambda: cluster, interval=0)
    target.code = code
    each = Controller(home_of(workdir), target, say=lambda _: None, patience=5)
    each.begin("m", 3, PLAN)
    return each.run()


def served(workdir):  # noqa: F811
    return models_config.served(layout.server_config(workdir), "m")


def test_weights_follow_the_shares_and_the_canary_is_taken_away(workdir):  # noqa: F811
    cluster = FakeCluster()
    assert run(workdir, cluster).phase == "stable"
    canary = [each.get("m-canary", 0) for each in cluster.weights]
    assert [each for at, each in enumerate(canary) if at == 0 or each != canary[at - 1]] == [
        0,
        10,
        50,
        0,
    ]
    assert all(sum(each.values()) == 100 for each in cluster.weights)
    assert not cluster.lost, "requests were sent where no pods were"
    assert cluster.versions() == {"m-stable": 3}
    assert served(workdir) == Served((3,), {"stable": 3})


@pytest.mark.parametrize(("broken", "code"), [((), "UNAVAILABLE"), ((3,), "")])
def test_what_is_worse_or_does_not_start_goes_back(workdir, broken, code):  # noqa: F811
    cluster = FakeCluster(broken)
    last = run(workdir, cluster, code)
    assert last.phase == "returned"
    assert ("requests failed" if code else "does not serve version 3") in last.reason
    assert cluster.weights[-1] == {"m-stable": 100}
    assert cluster.versions() == {"m-stable": 2}
    assert not [name for _, name in cluster.objects if name.startswith("m-canary")]
    assert served(workdir) == Served((2,), {"stable": 2})


def test_a_route_that_somebody_else_writes_is_no_way_back(workdir, monkeypatch):  # noqa: F811
    monkeypatch.setattr("podway.launch.rollout.controller._AGAIN", 0.01)

    class Stubborn(FakeCluster):
        left = 2

        def find(self, wanted):
            found = super().find(wanted)
            if self.left and wanted["kind"] == "HTTPRoute":
                self.left -= 1
                assert found
                for backend in found["spec"]["rules"][-1]["backendRefs"]:
                    backend["name"] = "m-canary"
            return found

    cluster = Stubborn()
    assert run(workdir, cluster, "UNAVAILABLE").phase == "returned"
    assert not cluster.left, "the route was not asked for"


def test_what_weights_cannot_say_is_refused_before_anything_moves(workdir):  # noqa: F811
    with pytest.raises(ConfigError, match=r"target\.gateway\.name is empty"):
        Weights("m", workdir, dataclasses.replace(SERVING, gateway=Gateway()))
    cluster = FakeCluster()
    target = Weights("m", workdir, SERVING, cluster=lambda: cluster)
    plan = dataclasses.replace(PLAN, shares=(0.001, 0.5))
    with pytest.raises(ConfigError, match=r"rollout.shares has \[0.001\].*whole percents"):
        Controller(home_of(workdir), target).begin("m", 3, plan)
    assert store.read(home_of(workdir)) is None
    assert not cluster.objects
