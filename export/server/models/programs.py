"""Programs that XLA has compiled, kept on disk from one start of the server to the next.

TensorFlow keeps them in a folder that TF_XLA_FLAGS names, but trusts it: where an entry is cut
short, or cannot be written because the disk is full, the request fails that needs the program, and
what another machine compiled is run all the same. So TensorFlow is given a folder in memory
(ram://), where nothing can fail. What the disk has is read into it at the start, each entry held
against its checksum, from a folder of this TensorFlow, this machine and these settings; what was
compiled is written back after a version is loaded and at the end, whole or not at all. Whatever is
wrong with the disk costs the time to compile, and nothing else.
"""

import contextlib
import hashlib
import json
import logging
import os
import pathlib
import platform
import re
import shutil
import stat
import threading
import time
import uuid

from podway.export.server.error import ServerError

log = logging.getLogger(__name__)

FLAG = "xla_cache_directory"
MAX_BYTES = 256 << 20
"""Of all entries, on disk and in memory; the newest stay."""
UNUSED_DAYS = 30
"""After which a folder of another TensorFlow or another machine is removed."""

_MEMORY = "ram://podway-programs"
_DIRECTORY, _DEVICES = (
    "--tf_xla_persistent_cache_directory",
    "--tf_xla_persistent_cache_device_types",
)
_ENTRY = re.compile(r"[A-Za-z0-9_]+\.pb").fullmatch
_DIGEST = hashlib.sha256().digest_size


def prepare(directory: str) -> None:
    """Has TensorFlow keep its programs where `Programs` finds them.

    TensorFlow looks at it once, when it first compiles. Raises ServerError.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if f"{_DIRECTORY}={_MEMORY}" in flags:
        return
    if _DIRECTORY in flags:
        raise ServerError(
            f"{FLAG} {directory}: TF_XLA_FLAGS has a {_DIRECTORY} of its own; leave one of them out"
        )
    os.environ["TF_XLA_FLAGS"] = f"{flags} {_DIRECTORY}={_MEMORY} {_DEVICES}=CPU".strip()


class Programs:
    """The programs of this process, and their folder on disk. May be used from any thread."""

    def __init__(self, directory: str):
        """Raises ServerError where the folder cannot be made, or others may write into it."""
        prepare(directory)
        self._root = pathlib.Path(directory)
        self._folder = self._root / _key()
        self._lock = threading.Lock()
        self._kept: set[str] = set()
        self._said = ""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._root.stat()
            if found.st_uid not in (os.getuid(), 0) or found.st_mode & (
                stat.S_IWGRP | stat.S_IWOTH
            ):
                raise ServerError(
                    f"{FLAG} {directory}: others may write into it, and what lies there is run as"
                    " machine code; give a folder that is this user's alone (chmod go-w)"
                )
            self._folder.mkdir(mode=0o700, exist_ok=True)
            os.utime(self._folder)
        except OSError as error:
            if isinstance(error, ServerError):
                raise
            raise ServerError(f"{FLAG} {directory}: {error.strerror or error}") from error

    def read(self) -> int:
        """Hands what the disk has to TensorFlow; returns how many programs that are."""
        import tensorflow as tf  # after `prepare`

        tf.io.gfile.makedirs(_MEMORY)
        with contextlib.suppress(OSError):
            self._tidy()
        for path in sorted(self._folder.glob("*.pb")):
            try:
                content = path.read_bytes()
            except OSError as error:
                log.warning("%s cannot be read: %s", path, error)
                continue
            digest, entry = content[:_DIGEST], content[_DIGEST:]
            if hashlib.sha256(entry).digest() != digest:
                log.warning("%s is damaged: compiled anew", path)
                path.unlink(missing_ok=True)
                continue
            with tf.io.gfile.GFile(f"{_MEMORY}/{path.name}", "wb") as file:
                file.write(entry)
            self._kept.add(path.name)
        log.info("%d compiled programs read from %s", len(self._kept), self._folder)
        return len(self._kept)

    def save(self) -> None:
        """Writes to disk what was compiled since. What goes wrong is said once, and no more."""
        import tensorflow as tf

        with self._lock:
            for name in sorted({*tf.io.gfile.listdir(_MEMORY)} - self._kept):
                if not _ENTRY(name):  # being written
                    continue
                with tf.io.gfile.GFile(f"{_MEMORY}/{name}", "rb") as file:
                    entry = file.read()
                try:
                    self._write(name, hashlib.sha256(entry).digest() + entry)
                except OSError as error:
                    if self._said != str(error):
                        self._said = str(error)
                        log.warning("%s: programs are not kept: %s", self._folder, error)
                    return
                self._kept.add(name)

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._folder / f".{name}-{uuid.uuid4().hex[:8]}"
        try:
            temporary.write_bytes(content)
            temporary.replace(self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Removes what is too much, what killed processes left, and what nobody uses any more."""
        day = 86_400
        for other in self._root.iterdir():
            unused = (time.time() - other.stat().st_mtime) / day
            if unused > UNUSED_DAYS and re.fullmatch("[0-9a-f]{16}", other.name):
                shutil.rmtree(other, ignore_errors=True)  # ours was used a moment ago
        total = 0
        for path in sorted(self._folder.iterdir(), key=lambda path: -path.stat().st_mtime):
            left = path.name.startswith(".") and time.time() - path.stat().st_mtime > day
            total += path.stat().st_size
            if left or total > MAX_BYTES:
                path.unlink(missing_ok=True)


def _key() -> str:
    """Names what a program depends on beside itself: TensorFlow, the processor, settings."""
    import tensorflow as tf  # after `prepare`

    about = {
        "tensorflow": [tf.version.VERSION, tf.version.GIT_VERSION, tf.version.COMPILER_VERSION],
        "machine": [platform.machine(), *_processor()],
        "processors": len(os.sched_getaffinity(0)),
        "flags": [os.environ.get(name, "") for name in ("XLA_FLAGS", "TF_XLA_FLAGS")],
    }
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _processor() -> list[str]:
    """The first processor's name and features, as the system has them; [] where it says none."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return [platform.processor()]
    first = text.split("\n\n")[0].splitlines()
    names = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part")
    return [line for line in first if line.split("\t")[0].strip() in names]
