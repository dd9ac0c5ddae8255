"""`python -m podway.export.server.worker`: one of the processes of export/server/workers.py.

Reads its options as a line of JSON from standard input, whose end says that the supervisor has
gone; says on standard output that it serves, or why it cannot.
"""

import asyncio
import json
import os
import sys
from typing import TextIO

import uvloop

from podway.export.server import drain, logs
from podway.export.server.error import ServerError
from podway.export.server.options import ServerOptions
from podway.export.server.serve import serve
from podway.export.server.siblings import Seat


def main() -> None:
    """Serves until SIGTERM, or until the supervisor has gone; exits with 1 when it cannot."""
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where all else belongs that is printed
    given = json.loads(sys.stdin.buffer.readline())
    seat = Seat(**given["seat"])
    logs.start(f"worker {seat.number}: ")
    try:
        uvloop.run(_work(ServerOptions(**given["options"]), seat, report))
    except ServerError as error:
        print(json.dumps({"error": str(error)}), file=report)
        sys.exit(1)


async def _work(options: ServerOptions, seat: Seat, report: TextIO) -> None:
    def announce(address: str) -> None:
        print(json.dumps({"serving": address}), file=report)

    stop = drain.stop_at_signals(options)

    def orphaned() -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        drain.exit_in(options.drain_seconds)
        stop.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), orphaned)
    await serve(options, stop, seat=seat, announce=announce)


if __name__ == "__main__":
    main()
