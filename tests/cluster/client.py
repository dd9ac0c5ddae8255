"""An API server's objects over HTTP: what the tests need of a Kubernetes client, and no more."""

import dataclasses
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

Manifest = dict[str, Any]
Answer = tuple[int, dict[str, Any]]
"""HTTP status, and the object or the Status that says what is wrong."""

_TYPES = {
    "PATCH": "application/merge-patch+json",
    "APPLY": "application/apply-patch+yaml",
}


class RefusedError(Exception):
    """The API server refused what a test needs."""


@dataclasses.dataclass
class Client:
    """Whoever holds the token.

    Attributes:
      server: https://HOST:PORT.
      token: of a user.
    """

    server: str
    token: str

    def __post_init__(self):
        self._resources: dict[tuple[str, str], dict[str, Any]] = {}
        self._tls = ssl._create_unverified_context()  # the server signs its own certificate

    def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Answer:
        """One request; `kind` is the content type where it is not JSON."""
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": kind or _TYPES.get(method, "application/json"),
                "Accept": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read())

    def create(self, manifest: Manifest, dry_run: bool = False) -> Answer:
        """As `kubectl create --validate=strict`."""
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self.request("POST", self.path(manifest, named=False) + query, manifest)

    def apply(self, manifest: Manifest, dry_run: bool = False) -> Answer:
        """As `kubectl apply --server-side --validate=strict`."""
        query = "?fieldManager=podway&fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self.request("PATCH", self.path(manifest) + query, manifest, _TYPES["APPLY"])

    def made(self, manifest: Manifest) -> Manifest:
        """Creates it; raises RefusedError if that is refused."""
        status, answer = self.create(manifest)
        if status != 201:
            raise RefusedError(f"{manifest['kind']}: {status} {answer.get('message')}")
        return answer

    def get(self, path: str) -> Manifest | None:
        """The object, or None if there is none."""
        status, answer = self.request("GET", path)
        if status == 404:
            return None
        if status != 200:
            raise RefusedError(f"GET {path}: {status} {answer.get('message')}")
        return answer

    def items(self, path: str) -> list[Manifest]:
        """The objects of a list."""
        return (self.get(path) or {}).get("items", [])

    def patch(self, path: str, change: Any) -> Manifest:
        """Merges a change into an object."""
        status, answer = self.request("PATCH", path, change)
        if status != 200:
            raise RefusedError(f"PATCH {path}: {status} {answer.get('message')}")
        return answer

    def delete(self, path: str, **options: Any) -> Answer:
        """Deletes an object, with DeleteOptions."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return self.request("DELETE", path, body)

    def path(self, manifest: Manifest, named: bool = True) -> str:
        """Where the object lies, or the list of its kind."""
        api, kind, about = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
        resource = self._resource(api, kind)
        place = "/api/v1" if api == "v1" else f"/apis/{api}"
        if resource["namespaced"]:
            place += f"/namespaces/{about.get('namespace', 'default')}"
        return f"{place}/{resource['name']}" + (f"/{about['name']}" if named else "")

    def _resource(self, api: str, kind: str) -> dict[str, Any]:
        if (api, kind) not in self._resources:
            found = self.get("/api/v1" if api == "v1" else f"/apis/{api}") or {"resources": []}
            for each in found["resources"]:
                if "/" not in each["name"]:
                    self._resources[api, each["kind"]] = each
        if (api, kind) not in self._resources:
            raise RefusedError(f"the server has no {kind} of {api}")
        return self._resources[api, kind]


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text.decode(errors="replace")}
    return found if isinstance(found, dict) else {"message": str(found)}
