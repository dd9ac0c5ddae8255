"""A cluster by the official client: apply, read, delete, and its errors in one sentence."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import kubernetes
import urllib3
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from podway.launch.targets.error import LaunchError

OWNER = "podway"
"""The field manager of what we apply."""
_TIMEOUT = 60
"""Seconds until an answer: a connection that broke without a word would be waited for for ever."""
_JOB_SET = (
    "install JobSet 0.11 or later: https://jobset.sigs.k8s.io/docs/installation (an administrator"
    " of the cluster may have to)"
)
_REMEDIES = {
    "jobset.x-k8s.io": _JOB_SET,
    "kueue.x-k8s.io": "install Kueue: https://kueue.sigs.k8s.io/docs/installation",
    "autoscaling.x-k8s.io": (
        "its autoscaler takes no requests for machines, as flex-start needs them; update the"
        " cluster, or leave flex-start out of target.quotas"
    ),
    "gateway.networking.k8s.io": (
        "enable the Gateway API (https://gateway-api.sigs.k8s.io; on GKE `gcloud container clusters"
        " update CLUSTER --gateway-api=standard`), or leave out target.gateway"
    ),
    "networking.gke.io": (
        "it is no cluster of GKE with the Gateway API; give --target.provider any"
    ),
    "monitoring.coreos.com": (
        "install Prometheus' operator (https://prometheus-operator.dev), or give another"
        " target.monitoring"
    ),
    "monitoring.googleapis.com": (
        "enable managed Prometheus (`gcloud container clusters update CLUSTER"
        " --enable-managed-prometheus`), or give another target.monitoring"
    ),
}
"""Group of kinds that a cluster may lack → what would help."""
_OLDER = {
    "kueue.x-k8s.io/v1beta2": "kueue.x-k8s.io/v1beta1",
    "autoscaling.x-k8s.io/v1": "autoscaling.x-k8s.io/v1beta1",
}
"""Version → one that older clusters have instead, with the same fields as far as we use them."""
_NEWER = ("dependsOn", "onJobFailureMessagePatterns")
"""Fields that older versions of JobSet don't know."""

_OVERLOADED = (429, 500, 502, 503, 504)
"""HTTP's codes of a server that may answer the next time."""


class Cluster:
    """A cluster, seen from one namespace.

    Args:
      namespace: of all that is not named otherwise.
      context: of the kubeconfig; "": the current one, or in a pod that pod's own account.

    Raises LaunchError: there is no cluster to talk to.
    """

    def __init__(self, namespace: str, context: str = ""):
        self.namespace = namespace
        try:
            _load(context)
        except kubernetes.config.ConfigException as error:
            raise LaunchError(
                f"no cluster to talk to ({error}); `gcloud container clusters get-credentials"
                " CLUSTER` writes a kubeconfig, and target.context names one of its contexts"
            ) from error
        configuration = kubernetes.client.Configuration.get_default_copy()
        configuration.retries = 2
        if not configuration.verify_ssl:  # as the kubeconfig says, and whoever wrote it knows
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.host = configuration.host
        with self._explained("the cluster"):
            self._client = DynamicClient(_impatient(kubernetes.client.ApiClient(configuration)))

    def apply(self, objects: Sequence[dict[str, Any]], *, dry_run: bool = False) -> list[str]:
        """Applies objects, all or none: first as the server's dry run, then for good.

        Where one is refused after all, those that were new are deleted again.

        Returns what was made new, "KIND NAME".
        """
        new = [each for each in objects if self.find(each) is None]
        spaces = [each for each in objects if each["kind"] == "Namespace"]
        others = [each for each in objects if each["kind"] != "Namespace"]
        missing = [each for each in spaces if each in new]
        if not missing:
            for each in others:
                self._apply(each, dry_run=True)
        if dry_run:
            return [_said(each) for each in new]
        done: list[dict[str, Any]] = []
        try:
            for each in missing:
                self._apply(each)
                done.append(each)
            if missing:  # without their namespace they could not be tried before
                for each in others:
                    self._apply(each, dry_run=True)
            for each in others:
                self._apply(each)
                done.append(each)
        except LaunchError:
            for each in reversed(done):
                if each in new:
                    self.delete(each)
            raise
        return [_said(each) for each in new]

    def require(self, version: str, kind: str) -> None:
        """Raises LaunchError: the cluster has no such kind."""
        self._resource(version, kind)

    def find(self, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """An object of this kind and name, as it is in the cluster; None: there is none."""
        return self.get(wanted["apiVersion"], wanted["kind"], wanted["metadata"]["name"])

    def get(self, version: str, kind: str, name: str) -> dict[str, Any] | None:
        """An object by its name; None: there is none."""
        resource = self._resource(version, kind)
        try:
            with self._explained(f"{kind} {name}"):
                return resource.get(name=name, namespace=self._space(resource)).to_dict()
        except _MissingError:
            return None

    def list(self, version: str, kind: str, labels: str = "", fields: str = "") -> list[Any]:
        """The namespace's objects of a kind."""
        resource = self._resource(version, kind)
        with self._explained(f"{kind}s"):
            found = resource.get(
                namespace=self._space(resource),
                label_selector=labels or None,
                field_selector=fields or None,
            )
        return [each.to_dict() for each in found.items]

    def create(self, each: dict[str, Any]) -> bool:
        """Creates an object, for those who may not change any. Returns False if it is there."""
        resource = self._resource(each["apiVersion"], each["kind"])
        try:
            with self._explained(_said(each)):
                resource.create(
                    body={**each, "apiVersion": resource.group_version},
                    namespace=self._space(resource),
                    query_params=[("fieldValidation", "Strict")],
                )
        except _ThereError:
            return False
        return True

    def delete(self, wanted: dict[str, Any]) -> bool:
        """Deletes an object, and then what belongs to it. Returns False if there is none."""
        resource = self._resource(wanted["apiVersion"], wanted["kind"])
        name = wanted["metadata"]["name"]
        try:
            with self._explained(f"{wanted['kind']} {name}"):
                body = {"propagationPolicy": "Foreground"}
                resource.delete(name=name, namespace=self._space(resource), body=body)
        except _MissingError:
            return False
        return True

    def logs(self, pod: str, container: str, *, since: int | None = None, tail: int = 0) -> str:
        """What a pod's container wrote, with times; "": nothing yet, or the pod is gone."""
        core = kubernetes.client.CoreV1Api(self._client.client)
        options: dict[str, Any] = {"timestamps": True}
        options |= {"since_seconds": since} if since else {}
        options |= {"tail_lines": tail} if tail else {}
        try:
            with self._explained(f"the logs of {pod}"):
                return core.read_namespaced_pod_log(
                    pod, self.namespace, container=container, **options
                )
        except (_MissingError, _NotYetError):
            return ""

    def _apply(self, each: dict[str, Any], *, dry_run: bool = False) -> None:
        resource = self._resource(each["apiVersion"], each["kind"])
        with self._explained(_said(each)):
            resource.server_side_apply(
                body={**each, "apiVersion": resource.group_version},
                namespace=self._space(resource),
                field_manager=OWNER,
                force_conflicts=True,
                dry_run="All" if dry_run else None,
                query_params=[("fieldValidation", "Strict")],
            )

    def _resource(self, version: str, kind: str) -> Any:
        try:
            with self._explained(kind):
                return self._client.resources.get(api_version=version, kind=kind)
        except ResourceNotFoundError as error:
            if version in _OLDER:
                return self._resource(_OLDER[version], kind)
            remedy = _REMEDIES.get(version.partition("/")[0], f"it knows nothing of {version}")
            raise LaunchError(f"the cluster {self.host} has no {kind}: {remedy}") from error

    def _space(self, resource: Any) -> str | None:
        return self.namespace if resource.namespaced else None

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Around a call: its error as one sentence."""
        try:
            yield
        except kubernetes.client.ApiException as error:
            said = _message(error)
            if error.status == 404:
                raise _MissingError(f"{what}: {said}") from error
            if error.status == 409 and "already exists" in said:
                raise _ThereError(f"{what}: {said}") from error
            if error.status == 400 and "waiting to start" in said:
                raise _NotYetError(f"{what}: {said}") from error
            text = f"{what}: {explain(error.status or 0, said)}"
            if error.status == 403 and not _is_refusal(said):
                raise ForbiddenError(text) from error
            sort = UnreachableError if error.status in _OVERLOADED else LaunchError
            raise sort(text) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(
                f"the cluster {self.host} does not answer ({type(error).__name__}); is it there,"
                " and does this machine reach it?"
            ) from error


class ForbiddenError(LaunchError):
    """Whoever asks has not the right to."""


class UnreachableError(LaunchError):
    """The cluster does not answer now; it may do so later."""


class _MissingError(LaunchError):
    """There is no such object."""


class _ThereError(LaunchError):
    """There is such an object already."""


class _NotYetError(LaunchError):
    """The container has not begun."""


def _impatient(client: kubernetes.client.ApiClient) -> kubernetes.client.ApiClient:
    """The client, which waits for no answer longer than _TIMEOUT, where nothing else is said."""
    send = client.rest_client.request

    def request(*arguments: Any, _request_timeout: Any = None, **named: Any) -> Any:
        return send(*arguments, _request_timeout=_request_timeout or _TIMEOUT, **named)

    client.rest_client.request = request
    return client


def _load(context: str) -> None:
    """Reads the kubeconfig; in a pod without one, the pod's own account."""
    files = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    there = any(os.path.exists(file) for file in files.split(os.pathsep))
    if there or context:
        kubernetes.config.load_kube_config(config_file=files, context=context or None)
    else:
        kubernetes.config.load_incluster_config()


def explain(status: int, said: str) -> str:
    """An answer of the API server with what would help."""
    if any(name in said for name in _NEWER) and ("unknown" in said or "not declared" in said):
        return f"the cluster's JobSet is too old ({said}); {_JOB_SET}"
    match status:
        case 401:
            return f"the cluster does not know who you are ({said}); log in again"
        case 403 if _is_refusal(said):
            return f"refused: {said}"
        case 403:
            return f"you may not do this: {said}; an administrator grants it"
        case 409:
            return f"somebody else changed it at the same time: {said}; try again"
    return said


def _is_refusal(said: str) -> bool:
    """Whether it is the object that is refused, not who asks."""
    return "webhook" in said or "denied the request" in said


def _message(error: Any) -> str:
    """What the server says, in one line."""
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.reason or error)
    return " ".join(said.split())


def _said(each: dict[str, Any]) -> str:
    return f"{each['kind']} {each['metadata']['name']}"
