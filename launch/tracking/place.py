"""Where what is told lies: the key of a folder, and the run that a published version is made of."""

from etils import epath

from podway.export import layout
from podway.framework.report import artefacts
from podway.launch.tracking.told import key


def absolute(path: epath.Path) -> epath.Path:
    """The path from the root, or as it is on a bucket."""
    return path if "://" in str(path) else epath.Path(path.absolute())


def of_folder(kind: str, directory: epath.Path) -> str:
    """The key of what lies in a folder: WORKDIR/KIND/NAME/VERSION; of a gate's verdicts each has a
    folder in that of its version."""
    if kind == "gate":
        version = f"{directory.parent.name}-{directory.name}"
        return key(kind, directory.parent.parent.name, version)
    return key(kind, directory.parent.name, directory.name)


def run_of(workdir: epath.Path, model: str, version: int) -> epath.Path:
    """The folder of the run that a published version was made of; it need not be there."""
    manifest = layout.models(workdir) / model / str(version) / layout.MANIFEST
    inputs = artefacts.mapping(manifest).get("inputs") or {}
    return workdir / "runs" / model / str(inputs.get("run", "-"))
