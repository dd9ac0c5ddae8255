"""An artefact becomes runs of the tracking database, and a model a version of its registry."""

from typing import Any

from etils import epath

from podway.launch.registry import shelf
from podway.launch.tracking import artefact

_FOLLOWED = ("gate", "rollout")
"""Kinds that come with what was told before: the run, and each earlier rollout."""


def tell(database: Any, kind: str, directory: epath.Path, session: str = "") -> None:
    """Tells of an artefact, behind the run that it belongs to; of a "registry", a model's folder,
    its versions and where its labels are; of a "rollout", which names that folder, too, both.

    Args:
      database: a Database of launch/tracking/database.py.
      kind: of the artefact.
      directory: its folder.
      session: that says how a run ends; "": all is told anew that is there already.
    """
    for each in artefact.told(kind, directory):
        if session and kind in _FOLLOWED and database.knows(each):
            continue
        run = database.tell(each, session=session if each.kind == "run" else "")
        database.note(each, run)
    if kind == "model":
        shelf.fill(database, directory.parent)
    if kind in ("registry", "rollout"):
        shelf.fill(database, directory)
    if kind == "gate":
        shelf.fill(database, directory.parents[3] / "models" / directory.parents[1].name)
