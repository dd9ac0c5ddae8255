"""Google's storage as an emulator, behind a door that can be shut or made slow for a while."""

import contextlib
import pathlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests import gcs

_OWN = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}


class Door:
    """What stands before a store.

    Attributes:
      store: as it is reached through the door.
      shut: whether each request is answered with 503.
      delay: seconds that each request waits.
    """

    def __init__(self, behind: str):
        self.shut, self.delay = False, 0.0
        self._behind = behind
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                time.sleep(door.delay)
                code, headers, content = (
                    (503, {}, b'{"error": {"code": 503, "message": "Backend Error"}}')
                    if door.shut
                    else door.ask(self.command, self.path, dict(self.headers), body)
                )
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Nothing: a client that was struck has left."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.store = gcs.Store(f"http://127.0.0.1:{self.server.server_address[1]}")

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Asks the store behind; addresses in its answers are those of the door."""
        kept = {name: value for name, value in headers.items() if name.lower() not in _OWN}
        asked = urllib.request.Request(
            self._behind + path, data=body or None, headers=kept, method=method
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                code, told, content = answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            code, told, content = error.code, dict(error.headers), error.read()
        told = {
            name: value.replace(self._behind, self.store.url)
            for name, value in told.items()
            if name.lower() not in _OWN
        }
        return code, told, content.replace(self._behind.encode(), self.store.url.encode())


@contextlib.contextmanager
def door() -> Iterator[Door]:
    """A store, and the door before it."""
    with gcs.strict() as behind:
        made = Door(behind.url)
        thread = threading.Thread(target=made.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.server.shutdown()
            made.server.server_close()


def upload(store: gcs.Store, folder: pathlib.Path, place: str) -> None:
    """Copies a folder to a gs:// URL."""
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(f"{place}/{path.relative_to(folder)}", path.read_bytes())


def download(store: gcs.Store, place: str, folder: pathlib.Path) -> None:
    """Copies all below a gs:// URL into a folder, which names the folder where it named the URL."""
    bucket, _, prefix = place.removeprefix("gs://").partition("/")
    for blob in store.client().list_blobs(bucket, prefix=f"{prefix}/"):
        path = folder / blob.name.removeprefix(f"{prefix}/")
        if blob.name.endswith("/"):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        content = blob.download_as_bytes()
        if path.name == "models.config":
            content = content.replace(place.encode(), str(folder).encode())
        path.write_bytes(content)
