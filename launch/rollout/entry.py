"""Which versions may begin a rollout."""

from etils import epath

from podway.export import layout
from podway.export.versions import promote


def check_admitted(workdir: epath.PathLike, model: str, version: int) -> None:
    """Raises PodwayError unless a version may come to users: whole, verified.

    The gate's verdict belongs here: `podway gate` says whether a version is good enough.
    """
    promote.check_admissible(layout.models(workdir) / model / str(version))
