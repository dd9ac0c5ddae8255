"""`podway lineage`: what something was made from, and what was made from it."""

import dataclasses
import json
import os
import pathlib

from podway.framework.error import check
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Lineage:
    """Something, and how its lineage is shown."""

    thing: Subject
    workdir: str = "workdir"
    """Folder of datasets/, runs/, evaluations/ and models/."""
    down: bool = False
    """What was made from it, rather than what it was made from. Of a raw file always."""
    json: bool = False
    """Print it as JSON, with every raw file."""
    html: str = ""
    """File to write a page to, with a picture of the graph."""


_MORE = """

ARTEFACT is the folder of a dataset, run, evaluation or model, or its version; MODEL:VERSION has a
number, or what the version is called: movielens_sasrec:champion. Of a raw file, its path or the
hash of its content, all that saw it is shown."""


def lineage(options: Lineage) -> None:
    """Prints the tree, or writes the page."""
    from podway.launch.lineage import graph, page, read, tree
    from podway.launch.registry import record

    check(
        pathlib.Path(options.workdir).is_dir() or "://" in options.workdir,
        f"--workdir {options.workdir} does not exist: there is nothing to show yet",
    )
    whole = read.graph(options.workdir)
    model, mark, version = options.thing.partition(":")
    if mark and model in record.models(options.workdir):
        number = record.find(model, version, options.workdir).number
        start = [whole.nodes[graph.identity("model", model, str(number))]]
    else:
        local = os.path.exists(options.thing)
        start = graph.find(whole, os.path.abspath(options.thing) if local else options.thing)
    down = options.down or start[0].kind == "raw file"
    found = graph.around(whole, [node.id for node in start], down=down)
    if options.html:
        page.write(found, start, options.html, down=down)
        print(f"lineage: {options.html}")
    if options.json:
        told = {"of": [node.id for node in start], "down": down, **found.to_json()}
        print(json.dumps(told, indent=1))
    elif not options.html:
        for node in start:
            print("\n".join(tree.lines(found, node, down=down)))


VERB = Verb(
    "from a served version to raw files, and back",
    Lineage,
    lineage,
    of="ARTEFACT",
    more=_MORE,
    example="podway lineage movielens_sasrec:champion --workdir w --html lineage.html",
)
