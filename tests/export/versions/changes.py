"""Exports, promotes and rolls back at random, as one of several processes on a workdir.

usage: python -m tests.export.versions.changes MODEL WORKDIR SEED SECONDS

Waits for a line on standard input, so that all begin at once. Prints a JSON list for each change
that was reported as done: [model, action, label, origin, target].
"""

import json
import pathlib
import random
import re
import sys
import time

from podway.export.error import ExportError
from podway.export.versions import promote, publish

NAMES = ("a", "b", "c")
LEAST = 6
"""Changes that each process tries, however slow the machine is."""
LABELS = ("", "stable", "canary")
MOVED = re.compile(r"\w+: (?:label '(\w+)'|requests without a label): (\S+) → (\S+?)(?:;|$)")


def main(model: str, workdir: str, seed: int, seconds: float) -> None:
    chance = random.Random(seed)
    print("ready", flush=True)
    sys.stdin.readline()
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end or tried < LEAST:
        tried += 1
        name = chance.choice(NAMES)
        try:
            done = change(chance, pathlib.Path(model), name, workdir)
        except ExportError:
            continue  # refused, and said so
        if done:
            print(json.dumps([name, *done]), flush=True)


def change(chance: random.Random, model: pathlib.Path, name: str, workdir: str) -> list | None:
    """What was reported as done; None: nothing was left to do, or a version was asked for."""
    action = chance.choice(("export", "promote", "promote", "rollback"))
    label = chance.choice(LABELS)
    if action == "export":
        return export(model, name, workdir)
    if action == "promote":
        # On gs:// nobody may see a version's folder before its manifest.
        there = list(publish.published(name, workdir))
        if not there:
            return None
        said = promote.promote(name, chance.choice(there), workdir, label=label)
    else:
        said = promote.rollback(name, workdir, label=label)
    if (moved := MOVED.match(said)) is None:
        assert "step 1 of 2" in said or "already at" in said, said
        return ["load", label, None, None] if "step 1" in said else None
    origin, target = (None if at == "–" else int(at) for at in moved.groups()[1:])
    return [action, moved[1] or "", origin, target]


def export(model: pathlib.Path, name: str, workdir: str) -> list:
    """What was reported as done: the next version, served."""
    manifest = {"config": {}, "inputs": {}, "code": "c", "details": {"verified": "yes"}, "git": {}}
    made = publish.publish(model, name=name, workdir=workdir, version="v", **manifest)
    return ["export", "", None, int(made.name)]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
