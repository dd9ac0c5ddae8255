"""`podway recommend`: what a model recommends to a user, or after some items, with titles."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from podway.launch.verbs.verb import Subject, Verb

if TYPE_CHECKING:
    from podway.launch.loaded.engine import Filter
    from podway.launch.loaded.model import LoadedModel
    from podway.launch.loaded.recommendations import Recommendations

_SHOWN = 5
"""Events of a user that are shown, the latest."""


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """What is warned of is printed as a note."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for warning in said:
        print(f"podway: note: {warning.message}", file=sys.stderr)


@dataclasses.dataclass(frozen=True)
class Ask:
    """A model, and what of it is asked."""

    model: Subject
    workdir: str = "workdir"
    """Folder of models/, runs/ and datasets/, where MODEL is a name."""
    version: int | None = None
    """Published version to ask, where MODEL is a name; without it the latest."""
    run: str | None = None
    """Run to ask, where MODEL is a name, or "latest", rather than what is published."""
    k: int = 10
    """Items to recommend."""
    allow: tuple[str, ...] = ()
    """Items to choose from; without any, all."""
    deny: tuple[str, ...] = ()
    """Items to leave out."""
    with_targets: bool = False
    """Count the test targets of users as seen too: ask what comes after them."""

    def loaded(self) -> LoadedModel:
        """The model."""
        from podway.launch.loaded.model import load

        with notes():
            return load(self.model, self.workdir, version=self.version, run=self.run)

    def filter(self) -> Filter:
        """Which items may be recommended."""
        from podway.launch.loaded.engine import Filter

        return Filter(self.allow, self.deny)


@dataclasses.dataclass(frozen=True)
class Recommend(Ask):
    """A model, and whom it recommends to."""

    history: tuple[str, ...] = ()
    """Items, oldest first; one value with commas is divided at them."""
    times: tuple[int, ...] = ()
    """Of each item of the history, whole seconds since 1970, where the model reads times."""
    user: tuple[str, ...] = ()
    """Users of the dataset, instead of a history."""
    json: bool = False
    """Print JSON."""


MORE = """

MODEL is a name: its latest published version in WORKDIR/models, or else its latest run. Or it is a
folder: WORKDIR/models/NAME/VERSION, WORKDIR/runs/NAME/RUN. A published model answers by TensorFlow,
as servers do, a run by JAX; both alike. Titles are what the side tables of items `keep`."""


def recommend(options: Recommend) -> None:
    """Prints the lists."""
    from podway.launch.loaded.error import require

    require(
        bool(options.history) != bool(options.user),
        "give either --history, item ids, or --user, ids of users of the dataset",
    )
    model = options.loaded()
    with notes():
        if options.user:
            whose: dict[str, Any] = {"users": options.user}
        else:
            whose = {"histories": [_items(options.history, model)]}
            whose |= {"times": [options.times]} if options.times else {}
        found = model.recommend(
            **whose, k=options.k, filter=options.filter(), targets=options.with_targets
        )
    if options.json:
        print(json.dumps(_to_json(found), ensure_ascii=False, indent=1))
        return
    if options.user:
        print(_latest(model, options), end="\n\n")
    print(found)


def _items(given: tuple[str, ...], model: LoadedModel) -> tuple[str, ...]:
    """The items of --history, which may be one value with commas."""
    if len(given) == 1 and given[0] not in model.engine.items.ids:
        return tuple(given[0].split(","))
    return given


def _latest(model: LoadedModel, options: Recommend) -> str:
    """What the users had last."""
    known = model.known_users(targets=options.with_targets)
    histories = known.read(known.places(options.user))
    lines = []
    for row, user in enumerate(options.user):
        ids = histories.ids[histories.offsets[row] : histories.offsets[row + 1]]
        lines.append(f"user {user} had {len(ids):,} items, at last:")
        for item in ids[-_SHOWN:]:
            texts = model.describe(int(item))
            lines.append("  " + "  ".join(texts))
    return "\n".join(lines)


def _to_json(found: Recommendations) -> list[dict[str, Any]]:
    return [
        ({} if found.users is None else {"user": found.users[row]})
        | {
            "items": [
                {"item": one.item, "score": one.score, **one.attributes} for one in found[row]
            ]
        }
        for row in range(len(found))
    ]


VERB = Verb(
    "what a model recommends, with titles",
    Recommend,
    recommend,
    of="MODEL",
    more=MORE,
    example="podway recommend movielens_sasrec --history 1,50 --k 5 --workdir w",
)
