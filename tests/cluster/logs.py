"""What containers write, with the time of each line, and a kubelet's server of it."""

import contextlib
import datetime
import pathlib
import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PLACE = re.compile(r"/containerLogs/([^/]+)/([^/]+)/[^/]+")
"""Where an API server asks for the log of a container: namespace, pod, container."""


def keep(process: subprocess.Popen[bytes], file: pathlib.Path) -> threading.Thread:
    """Writes what a process writes to a file, line by line; the thread that does so."""

    def copy() -> None:
        assert process.stdout
        with file.open("ab", buffering=0) as log:
            for line in process.stdout:
                log.write(_now().encode() + b" " + line)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def lines(file: pathlib.Path, *, timed: bool, since: float | None, tail: int | None) -> list[str]:
    """The lines of a log: those of the last `since` seconds, of these the last `tail`."""
    found = file.read_text(errors="replace").splitlines()
    if since is not None:
        first = _now(-since)
        found = [line for line in found if line >= first]
    if tail is not None:
        found = found[max(len(found) - tail, 0) :]
    return found if timed else [line.partition(" ")[2] for line in found]


def last_words(file: pathlib.Path) -> str:
    """What a kubelet takes for a container's message: the last 80 lines, of 2,048 bytes at most."""
    found = "\n".join(lines(file, timed=False, since=None, tail=80))
    return found.encode()[-2048:].decode(errors="replace")


@contextlib.contextmanager
def serving(
    certificate: pathlib.Path, key: pathlib.Path, find: Callable[[str, str], pathlib.Path | None]
) -> Iterator[int]:
    """Serves logs to the API server for the time of a block, on a port of loopback.

    `find`: (namespace, pod) → the file of its log, if there is one.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            place = PLACE.fullmatch(parts.path)
            file = find(place[1], place[2]) if place else None
            if file is None or not file.exists():
                self.send_error(404)
                return
            since, tail = query.get("sinceSeconds"), query.get("tailLines")
            text = lines(
                file,
                timed=query.get("timestamps") == "true",
                since=float(since) if since else None,
                tail=int(tail) if tail else None,
            )
            body = "".join(f"{line}\n" for line in text).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _now(shift: float = 0.0) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=shift)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
