"""A small server of the board and of the pages that it leads to, each as it is now."""

import functools
import http
import http.server
import ipaddress
import re
import threading
import time
from typing import Any

from etils import epath

from podway.export import layout
from podway.framework.error import PodwayError
from podway.framework.report import artefacts, dataset, evaluation
from podway.framework.report import run as run_page
from podway.framework.runs import records
from podway.launch.board import page, selection
from podway.launch.gate import record as gates

AGAIN = 5
"""Seconds after which a browser asks again while something may change."""
_FRESH = 1.0
"""Seconds for which the board is not made anew, however many ask."""

PAGES = {
    "runs": records.PAGE,
    "evaluations": evaluation.PAGE,
    "datasets": dataset.PAGE,
    "models": layout.CARD,
    selection.SWEEPS: selection.SWEEP,
    selection.COMPRESSIONS: selection.COMPRESSION,
}
"""Kind of an artefact, as in workdir/KIND/NAME/VERSION → its page, the only file that is served."""
_PATH = re.compile(rf"/({'|'.join(PAGES)})/([\w-][\w.-]*)/([\w-][\w.-]*)/([\w.-]+)", re.ASCII)
_GATE = re.compile(rf"/gates/([\w-][\w.-]*)/(\d+)/(\d+)/{re.escape(gates.PAGE)}", re.ASCII)
"""A verdict has a folder in that of its version."""


class Board:
    """The pages of a workdir."""

    def __init__(self, workdir: epath.PathLike):
        self.workdir = epath.Path(workdir)
        self._lock = threading.Lock()
        self._made, self._text = -_FRESH, ""

    def get(self, path: str) -> str | None:
        """The page at a path of the server; None: there is none."""
        if path in ("/", "/board.html"):
            return self._board()
        if match := _GATE.fullmatch(path):
            file = gates.home(self.workdir, match[1], int(match[2])) / match[3] / gates.PAGE
            return file.read_text() if file.is_file() else None
        match = _PATH.fullmatch(path)
        if not match or PAGES[match[1]] != match[4]:
            return None
        directory = self.workdir / match[1] / match[2] / match[3]
        if match[1] == "runs":
            if not directory.is_dir():
                return None
            run = artefacts.run(directory)
            return run_page.page(run, refresh=AGAIN if run.state == "training" else None)
        file = directory / match[4]
        return file.read_text() if file.is_file() else None

    def _board(self) -> str:
        with self._lock:
            if time.monotonic() - self._made >= _FRESH:
                self._text = page.page(self.workdir, self._link, refresh=AGAIN)
                self._made = time.monotonic()
            return self._text

    def _link(self, directory: epath.Path, name: str) -> str:
        if name == gates.PAGE and directory.parents[2] == self.workdir / "gates":
            path = f"/{'/'.join(directory.parts[-4:])}/{name}"
            return path if _GATE.fullmatch(path) and (directory / name).exists() else ""
        path = f"/{'/'.join(directory.parts[-3:])}/{name}"
        made = directory.parents[1] == self.workdir / "runs"  # when it is asked for
        known = made or (directory / name).exists()
        return path if known and _PATH.fullmatch(path) else ""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD; what is asked for names a page, never a file."""

    server_version, sys_version = "podway", ""

    def __init__(self, board: Board, hosts: frozenset[str], *arguments: Any):
        self._board, self._hosts = board, hosts
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answers with a page."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if self._hosts and host.strip("[]") not in self._hosts:
            # Another site's name that leads to this machine would let its scripts read the board.
            self._answer(http.HTTPStatus.FORBIDDEN, "no such host here")
            return
        text = self._board.get(self.path.partition("?")[0])
        if text is None:
            self._answer(http.HTTPStatus.NOT_FOUND, "no such page")
        else:
            self._answer(http.HTTPStatus.OK, text, "text/html")

    do_HEAD = do_GET

    def _answer(self, status: http.HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: a page that asks every five seconds is no news."""


def server(workdir: epath.PathLike, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """A server that listens, and answers once `serve_forever` is called.

    Raises PodwayError where it cannot listen.
    """
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host}) if _is_local(host) else frozenset()
    handler = functools.partial(Handler, Board(workdir), hosts)
    try:
        return http.server.ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise PodwayError(
            f"the board cannot listen on {host}:{port}: {error.strerror or error}; give --host and"
            " --serve an address of this machine and a free port (0: any)"
        ) from error


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
