"""`podway data` in a process of its own, which can wait for another one or be killed on gs://.

usage: python -m tests.beam.on_gcs POINT FOLDER ARGUMENTS OF podway data
POINT: "none"; "read" (a raw file is opened), "write" (half of the dataset's files are written),
"copy" (the first file was copied to its place), "manifest" (all but the manifest are there): there
it kills itself. With a FOLDER other than "-" it waits there until two processes came to it.
"""

import os
import pathlib
import signal
import sys
import threading
import time

from etils.epath import backend
from google.cloud import storage

from podway.framework.artifact import gcs
from podway.launch import cli

HALF = 5
"""Files after which about half of a small dataset is written."""


def main(point: str, folder: str, *arguments: str) -> None:
    def reach(reached: str) -> None:
        if reached != point:
            return
        if folder == "-":
            os.kill(os.getpid(), signal.SIGKILL)
        (pathlib.Path(folder) / str(os.getpid())).touch()
        while len(list(pathlib.Path(folder).iterdir())) < 2:
            time.sleep(0.01)

    opened, copy, put = (
        backend._FileSystemSpecBackend.open,
        gcs._copy,
        storage.Blob.upload_from_string,
    )
    lock, copied, written = threading.Lock(), [], []

    def reach_open(self, path, mode):
        if "w" in mode:
            written.append(path)
            if len(written) > HALF:
                reach("write")
        elif "/raw/" in str(path):
            reach("read")
        return opened(self, path, mode)

    def reach_copy(*given) -> None:
        with lock:
            if copied:
                reach("copy")
            copy(*given)
            copied.append(1)

    def reach_put(blob, *given, **options) -> None:
        reach("manifest")
        put(blob, *given, **options)

    backend._FileSystemSpecBackend.open = reach_open
    gcs._copy, storage.Blob.upload_from_string = reach_copy, reach_put  # pyright: ignore[reportAttributeAccessIssue]
    cli.main(["data", *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
