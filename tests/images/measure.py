"""Builds images and prints what each costs: the table of docs/launch/images.md.

usage: python -m tests.images.measure [NAME…]
"""

import json
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Sequence

from tests.images import engine
from tests.images.test_locks import EXTRAS, IMAGES, pins


def main(names: Sequence[str]) -> None:
    """Builds each anew: nothing is taken from an earlier build."""
    if why := engine.missing():
        sys.exit(f"no image is built: {why}")
    with tempfile.TemporaryDirectory() as folder:
        engine.make_base(pathlib.Path(folder))
        base = _bytes(engine.BASE)
        print(f"| image | packages | GB, the base's {base / 1e9:.2f} included | CPU-s | s |")
        print("|---|---|---|---|---|")
        for name in names or EXTRAS:
            before, began = _cpu(), time.monotonic()
            tag = engine.build(name, pathlib.Path(folder), anew=True)
            seconds = time.monotonic() - began
            count = len(pins(IMAGES / "locks" / f"{name}.lock"))
            size = _bytes(tag) / 1e9
            print(
                f"| `{name}` | {count} | {size:.2f} | {_cpu() - before:.0f} | {seconds:.0f} |",
                flush=True,
            )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bytes(tag: str) -> int:
    (found,) = json.loads(engine.run(["podman", "image", "inspect", tag]).stdout)
    return found["Size"]


if __name__ == "__main__":
    main(sys.argv[1:])
