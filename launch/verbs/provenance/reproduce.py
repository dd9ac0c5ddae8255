"""`podway reproduce`: exactly what made a published version, printed or run."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from podway.framework.error import PodwayError
from podway.launch.verbs.verb import Subject, Verb

if TYPE_CHECKING:
    from podway.launch.lineage.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """A version, and what becomes of its recipe."""

    model: Subject
    version: Subject = ""
    workdir: str = "workdir"
    """Folder of models/, runs/ and datasets/."""
    run: bool = False
    """Make it again, with the code that is here, and compare."""
    into: str = "reproduced"
    """Workdir of what --run makes."""
    json: bool = False
    """Print the recipe as JSON."""


_MORE = """

VERSION is a number, or what the version is called: champion, challenger, a label. Said is the
commit, the config with its options, the packages that differ from those of then, and the raw data
that are gone or have changed. --run ends with 1 where what it makes is not what was published."""


def reproduce(options: Reproduce) -> None:
    """Prints the recipe, or follows it."""
    from podway.launch.lineage import recipe

    found = recipe.find(options.model, options.version, options.workdir)
    if options.json:
        print(json.dumps(found.to_json(), indent=1))
        return
    print("\n".join(_lines(found, options)))
    if options.run:
        from podway.launch.lineage import remake

        outcome = remake.remake(found, options.into)
        rows = [("", "then", "now", "")]
        for what, then, now in outcome.rows:
            rows.append((what, then, now, "" if then == now else "differs"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join(cells).rstrip())
        if not outcome.same:
            raise PodwayError(
                f"{outcome.directory} is not what {found.version.place} was: see what differs"
            )


def _lines(found: Recipe, options: Reproduce) -> list[str]:
    version = found.version
    lines = [f"{version.place}, published {version.published}, was made by:", ""]
    if found.commit:
        lines.append(f"  git checkout {found.commit}")
    else:
        lines.append("  # not from a checkout: of an installed podway, see the packages below")
    if found.dirty:
        lines.append("  # it had changes that are in no commit")
    lines.append("  python -m pip install --require-hashes -r requirements.lock")
    for run in found.runs[:-1]:
        lines.append(f"  podway train {run.directory}/experiment.json --workdir {options.into}")
    lines.append(f"  podway run {found.run.directory}/experiment.json --workdir {options.into}")
    if found.config:
        told = " ".join(["podway run", found.config, *found.overrides, "--workdir", options.into])
        lines += ["", f"The same from the config's name: {told}"]
    if found.packages:
        lines += ["", "Packages that differ:"]
        for name, then, now in found.packages:
            lines.append(f"  {name} {then} then, {now or 'not installed'} now")
    lines.append("")
    if found.problems:
        lines.append("Not as it was:")
        lines += [f"  - {problem}" for problem in found.problems]
    else:
        lines.append("Code and raw data are as they were.")
    return lines


VERB = Verb(
    "what made a version: print it, or run it",
    Reproduce,
    reproduce,
    of="MODEL VERSION",
    more=_MORE,
    example="podway reproduce movielens_sasrec 2 --run --into again --workdir w",
)
