"""The client without a cluster: which kinds there are, and whose right is missing."""

import json
import types

import kubernetes
import pytest
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import queue
from podway.launch.targets.kubernetes.cluster import Cluster, ForbiddenError


class Resource:
    """Of one version, which keeps what is applied; or refuses it."""

    namespaced = False

    def __init__(self, version: str, refusal: kubernetes.client.ApiException | None = None):
        self.group_version, self._refusal = version, refusal
        self.applied: list[dict] = []

    def server_side_apply(self, *, body: dict, **_: object) -> None:
        if self._refusal:
            raise self._refusal
        self.applied.append(body)

    def get(self, **_: object) -> None:
        raise kubernetes.client.ApiException(status=404, reason="Not Found")


def a_cluster(*resources: Resource) -> Cluster:
    """That has these and no other."""

    def get(*, api_version: str, kind: str) -> Resource:
        for each in resources:
            if each.group_version == api_version:
                return each
        raise ResourceNotFoundError(f"no {kind}")

    cluster = object.__new__(Cluster)
    cluster.namespace, cluster.host = "podway", "https://lab"
    cluster._client = types.SimpleNamespace(resources=types.SimpleNamespace(get=get))  # pyright: ignore[reportAttributeAccessIssue]
    return cluster


FLAVOR = {"apiVersion": queue.API, "kind": "ResourceFlavor", "metadata": {"name": "v5e"}}


@pytest.mark.parametrize(
    ("there", "used"),
    [(("v1beta2", "v1beta1"), "v1beta2"), (("v1beta2",), "v1beta2"), (("v1beta1",), "v1beta1")],
)
def test_an_older_kueue_is_spoken_to_in_its_version(there, used):
    resources = {version: Resource(f"kueue.x-k8s.io/{version}") for version in there}
    a_cluster(*resources.values()).apply([FLAVOR])
    assert resources[used].applied[-1]["apiVersion"] == f"kueue.x-k8s.io/{used}"
    assert not any(other.applied for name, other in resources.items() if name != used)


def test_a_cluster_without_kueue():
    with pytest.raises(LaunchError, match="https://lab has no ResourceFlavor: install Kueue"):
        a_cluster().apply([FLAVOR])


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("resourceflavors is forbidden: User x cannot patch resource", ForbiddenError),
        ('admission webhook "v.kb.io" denied the request: spec is wrong', LaunchError),
    ],
)
def test_a_missing_right_is_another_error_than_a_refused_object(said, kind):
    refusal = kubernetes.client.ApiException(status=403)
    refusal.body = json.dumps({"message": said})
    with pytest.raises(LaunchError) as error:
        a_cluster(Resource(queue.API, refusal)).apply([FLAVOR])
    assert type(error.value) is kind
