"""An artefact becomes runs of the tracking database, and a model a version of its registry."""

from typing import Any

from etils import epath

from podway.launch.registry import shelf
from podway.launch.tracking import artefact


def tell(database: Any, kind: str, directory: epath.Path, session: str = "") -> None:
    """Tells of an artefact, behind the run that it belongs to; of a "registry", a model's folder,
    its versions and where its labels are.

    Args:
      database: a Database of launch/tracking/database.py.
      kind: of the artefact.
      directory: its folder.
      session: that says how a run ends.
    """
    for each in artefact.told(kind, directory):
        run = database.tell(each, session=session if each.kind == "run" else "")
        database.note(each, run)
    if kind == "model":
        shelf.fill(database, directory.parent)
    if kind == "registry":
        shelf.fill(database, directory)
