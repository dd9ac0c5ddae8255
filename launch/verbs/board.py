"""`podway board`: all that a workdir holds, on one page."""

from __future__ import annotations

import contextlib
import dataclasses
import os

from podway.framework.error import check
from podway.launch.verbs.verb import Verb


@dataclasses.dataclass(frozen=True)
class Board:
    """A workdir, and where its page goes."""

    workdir: str = "workdir"
    """Folder of datasets/, runs/, evaluations/ and models/."""
    output: str = ""
    """File to write the page to; without it board.html in the workdir."""
    serve: int | None = None
    """Port on which to serve the page instead, live; 0: any free one."""
    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 for all interfaces."""


_MORE = """

The page lists datasets, runs with their state and what they are worth, evaluations and models, and
leads to the page of each. Its tables are sorted by a click, and searched.

Example:  podway board --workdir w --serve 8080"""


def board(options: Board) -> None:
    """Writes the page, or serves it until SIGINT or SIGTERM."""
    from etils import epath

    workdir = epath.Path(options.workdir)
    check(
        workdir.is_dir(),
        f"--workdir {workdir} does not exist: there is nothing to show yet",
    )
    if options.serve is not None:
        check(
            not options.output,
            "--output and --serve are two ways to show the board; give one of them",
        )
        _serve(workdir, options.host, options.serve)
        return
    from podway.launch.board import page

    output = epath.Path(options.output) if options.output else workdir / "board.html"
    page.write(workdir, output)
    print(f"board: {output}")


def _serve(workdir: str | os.PathLike[str], host: str, port: int) -> None:
    from podway.launch.board import server

    with server.server(workdir, host, port) as listening:
        at = listening.server_address[1]
        print(f"board: http://{host}:{at}/ (Ctrl-C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            listening.serve_forever()


VERB = Verb("all that a workdir holds, on one page", Board, board, of="", more=_MORE)
