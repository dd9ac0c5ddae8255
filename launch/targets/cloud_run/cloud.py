"""Cloud Run by Google's client: services, revisions and jobs, and its errors in one sentence."""

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import google.api_core.exceptions as google_errors
import google.auth.exceptions
import google.cloud.run_v2 as run_v2

from podway.launch.targets.cloud_run import messages
from podway.launch.targets.cloud_run.target import Place
from podway.launch.targets.error import LaunchError

INTERVAL = 5.0
"""Seconds between looks at an execution."""
_PATIENCE = 900.0
"""Seconds that a revision may take to serve: pulls and several tries to start are in it."""
_LOGIN = "`gcloud auth application-default login` logs in"

Channel = Callable[[], Any]
"""Makes a gRPC channel to a stand-in of Google's API."""


class Cloud:
    """Cloud Run in one project and region.

    Args:
      place: project and region.
      channel: makes a channel to something that is not Google; None: to Google.

    Raises LaunchError: nobody is logged in.
    """

    def __init__(self, place: Place, channel: Channel | None = None):
        self.place = place
        with self._explained("Google's login"):
            self._services = _client("Services", channel)
            self._revisions = _client("Revisions", channel)
            self._jobs = _client("Jobs", channel)
            self._executions = _client("Executions", channel)

    def deploy(self, wanted: Sequence[dict[str, Any]], say: Callable[[str], None] = print) -> str:
        """Makes a service as the last of its manifests says it, by way of the others.

        A revision that is there is not made again; requests move to a new one when it serves, and
        stay where they are if it never does.

        Returns its address. Raises LaunchError.
        """
        name = wanted[0]["metadata"]["name"]
        full = f"{self.place.parent}/services/{name}"
        there = self.revisions(name)
        answer = self.service(name)
        for each in wanted:
            revision = each["spec"]["template"]["metadata"]["name"]
            if revision in there:
                say(f"revision {revision} is there already")
                continue
            message = messages.service(each)
            with self._explained(f"service {name}, revision {revision}"):
                if answer is None:
                    operation = self._services.create_service(
                        parent=self.place.parent, service=message, service_id=name
                    )
                else:
                    message.name = full
                    operation = self._services.update_service(service=message)
                answer = operation.result(timeout=_PATIENCE)
            say(f"revision {revision} serves")
        assert answer is not None
        shares = messages.service(wanted[-1]).traffic
        if _said(answer.traffic) != _said(shares):
            answer.traffic = shares
            with self._explained(f"service {name}"):
                answer = self._services.update_service(service=answer).result(timeout=_PATIENCE)
        return answer.uri

    def service(self, name: str) -> Any:
        """A service; None: there is none of that name."""
        try:
            with self._explained(f"service {name}"):
                return self._services.get_service(name=f"{self.place.parent}/services/{name}")
        except _MissingError:
            return None

    def revisions(self, service: str) -> set[str]:
        """Names of a service's revisions."""
        try:
            with self._explained(f"the revisions of {service}"):
                parent = f"{self.place.parent}/services/{service}"
                found = list(self._revisions.list_revisions(parent=parent))
        except _MissingError:
            return set()
        return {each.name.rpartition("/")[2] for each in found}

    def put_job(self, wanted: dict[str, Any]) -> None:
        """Makes a job, or makes it be as its manifest says. Raises LaunchError."""
        message = messages.job(wanted)
        name = wanted["metadata"]["name"]
        message.name = f"{self.place.parent}/jobs/{name}"
        with self._explained(f"job {name}"):
            operation = self._jobs.update_job(
                request=run_v2.UpdateJobRequest(job=message, allow_missing=True)
            )
            operation.result(timeout=_PATIENCE)

    def run_job(self, name: str) -> str:
        """Begins an execution of a job, unless one goes on. Returns its full name."""
        parent = f"{self.place.parent}/jobs/{name}"
        with self._explained(f"job {name}"):
            for each in self._executions.list_executions(parent=parent):
                if not each.completion_time:
                    return each.name
            return self._jobs.run_job(name=parent).metadata.name

    def follow(
        self, execution: str, say: Callable[[str], None] = print, interval: float = INTERVAL
    ) -> None:
        """Returns when an execution has succeeded. Raises LaunchError: it has failed."""
        last, name = "", execution.rpartition("/")[2]
        while True:
            with self._explained(f"execution {name}"):
                now = self._executions.get_execution(name=execution)
            said = f"{now.running_count} running, {now.retried_count} retries"
            if said != last:
                say(f"execution {name}: {said}")
                last = said
            if now.completion_time:
                if now.succeeded_count == now.task_count and not now.failed_count:
                    return
                why = [each.message for each in now.conditions if each.message]
                raise LaunchError(
                    f"execution {name} has failed: {'; '.join(why) or 'no reason is given'}."
                    f" Its logs: {now.log_uri}"
                )
            time.sleep(interval)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Around a call: its error as one sentence."""
        try:
            yield
        except google_errors.NotFound as error:
            raise _MissingError(f"{what}: {error.message}") from error
        except google_errors.PermissionDenied as error:
            raise LaunchError(
                f"{what}: you may not do this: {error.message}; it takes roles/run.developer in the"
                f" project {self.place.project!r}, and roles/iam.serviceAccountUser on the service"
                " account"
            ) from error
        except google_errors.Unauthenticated as error:
            raise LaunchError(f"{what}: Google does not know who you are; {_LOGIN}") from error
        except google.auth.exceptions.GoogleAuthError as error:
            raise LaunchError(f"{what}: {error}; {_LOGIN}") from error
        except google_errors.GoogleAPIError as error:
            raise LaunchError(f"{what}: {getattr(error, 'message', error)}") from error
        except TimeoutError as error:
            raise LaunchError(
                f"{what}: it does not serve after {_PATIENCE:g} s; requests go where they went"
                " before"
            ) from error


class _MissingError(LaunchError):
    """There is no such thing."""


def _said(traffic: Any) -> list[tuple[str, int, str]]:
    return sorted((each.revision, each.percent, each.tag) for each in traffic)


def _client(kind: str, channel: Channel | None) -> Any:
    """A client of one of Cloud Run's services."""
    client = getattr(run_v2, f"{kind}Client")
    if channel is None:
        return client()
    package = importlib.import_module(f"google.cloud.run_v2.services.{kind.lower()}.transports")
    transport = getattr(package, f"{kind}GrpcTransport")
    return client(transport=transport(channel=channel()))
