"""A PostgreSQL of this test run alone: its own port, its own folder, gone afterwards."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

HOW = "apt-get install -y postgresql"
USER = "postgres"


def programs() -> pathlib.Path:
    """Where initdb and pg_ctl are; the test is skipped where there is none."""
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folders = [*([pathlib.Path(on_path).parent] if on_path else []), *folders]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    missing = f"no PostgreSQL server (initdb): {HOW}"
    if "CI" in os.environ:
        pytest.fail(missing)
    pytest.skip(missing)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of an empty database "postgres"."""
    where = programs()
    root = os.getuid() == 0  # whom it refuses to run as
    prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if root else []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="podway-postgres-"))
    folder.chmod(0o755)
    if root:
        shutil.chown(folder, USER, USER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *options: str) -> None:
        command = [*prefix, str(where / program), "-D", str(folder / "data"), *options]
        done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode()

    settings = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        " -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    )
    try:
        run("initdb", "-A", "trust", "-U", "podway", "--no-sync", "-E", "UTF8", "--locale=C")
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql://podway@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
