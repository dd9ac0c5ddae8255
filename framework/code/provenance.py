"""Where an artefact comes from: the checkout's commit, and the installed packages."""

import contextlib
import functools
import importlib.metadata
import pathlib
import re
import subprocess
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
"""The folder that holds the rooms: the checkout, or the installed package."""


@functools.cache
def git() -> dict[str, Any]:
    """{"commit": …, "dirty": …}, or {} outside a checkout."""

    def ask(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if pathlib.Path(ask("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return {}
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


@functools.cache
def packages() -> dict[str, str]:
    """Versions of the installed packages that the project depends on; {} where it is not installed
    itself, and runs from its checkout."""
    names = {"podway"}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("podway") or ():
            if match := re.match(r"[A-Za-z0-9._-]+", requirement):
                names.add(match[0])
    versions = {}
    for name in sorted(names):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
