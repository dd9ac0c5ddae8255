"""Commits a small artefact in a process of its own, which can wait for another one or be killed.

usage: python -m tests.framework.committer TARGET JSON
JSON: {"name": of this process, "rows": what it writes, "wait_at": point, "barrier": folder,
       "patience": seconds, "kill_at": point}
Points: "write" (before the last file of the stage), "publish", "clear" (before a leftover is
removed), "rename", "copy" (before the second file is copied), "manifest" (before it is put), "done"
(before the stage is removed). At `wait_at` it waits until two processes have come to `barrier`, or
for `patience`.

Prints "committed" or the ArtifactError.
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import threading
import time

from etils import epath

from podway.framework import artifact

FILES = ("train/a", "train/b", "schema.json")


def main(target: str, text: str) -> None:
    options = json.loads(text)

    def reach(point: str) -> None:
        if options.get("kill_at") == point:
            os.kill(os.getpid(), signal.SIGKILL)
        if options.get("wait_at") == point:
            barrier = pathlib.Path(options["barrier"])
            (barrier / options["name"]).touch()
            end = time.monotonic() + options.get("patience", 100)
            while len(list(barrier.iterdir())) < 2 and time.monotonic() < end:
                time.sleep(0.001)

    _watch(target, reach)
    try:
        with artifact.staging(target) as stage:
            for file in FILES:
                if file == FILES[-1]:
                    reach("write")
                (stage / file).parent.mkdir(parents=True, exist_ok=True)
                (stage / file).write_text(f"{options['rows']} of {file}")
            commit(stage)
            reach("publish")
    except artifact.ArtifactError as error:
        print(error)
    else:
        print("committed")


def commit(stage: epath.Path) -> artifact.Manifest:
    return artifact.commit(
        stage, kind="dataset", name="n", version="v", config={}, inputs={}, code="c"
    )


def _watch(target: str, reach) -> None:
    """Has the library's own steps call `reach`."""
    rename, remove = os.rename, shutil.rmtree

    def reach_rename(*paths) -> None:
        reach("rename")
        rename(*paths)
        reach("done")

    def reach_clear(path) -> None:
        reach("clear")
        remove(path)

    os.rename, shutil.rmtree = reach_rename, reach_clear
    if not target.startswith("gs://"):
        return
    from google.cloud import storage

    from podway.framework.artifact import gcs

    copy, put = gcs._copy, storage.Blob.upload_from_string
    lock, copied = threading.Lock(), []

    def reach_copy(*given) -> None:
        with lock:
            if copied:
                reach("copy")
            copy(*given)
            copied.append(1)

    def reach_put(blob, *given, **options) -> None:
        reach("manifest")
        put(blob, *given, **options)
        reach("done")

    gcs._copy, storage.Blob.upload_from_string = reach_copy, reach_put  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    main(*sys.argv[1:])
