"""A server in a container, and who asks it."""

import contextlib
import pathlib
import time
import urllib.request
from collections.abc import Iterator

from tests.cluster.control_plane import free_ports
from tests.images import engine

WORKDIR = pathlib.Path("/workdir")
"""Where containers find what the test mounts."""


@contextlib.contextmanager
def serve(
    image: str, workdir: pathlib.Path, *flags: str
) -> Iterator[tuple[engine.Running, str, str]]:
    """A container of the model server: it, and its addresses for gRPC and REST."""
    port, rest = free_ports(2)
    own = [f"--port={port}", f"--rest_api_port={rest}", "--host=0.0.0.0"]
    with engine.running(
        image,
        *flags,
        *own,
        name="podway-server",
        entrypoint="podway-model-server",
        mounts={workdir: WORKDIR},
    ) as server:
        yield server, f"127.0.0.1:{port}", f"127.0.0.1:{rest}"


def wait_for(url: str, seconds: float = 600) -> None:
    """Until a model is available."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as response:
            if b"AVAILABLE" in response.read():
                return
        time.sleep(0.5)
    raise AssertionError(f"{url} is not available after {seconds} s")
