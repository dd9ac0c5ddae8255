"""From a published version to the dataset that it has learned from."""

from etils import epath

from podway.export import layout
from podway.framework import artifact
from podway.framework.error import PodwayError


class LineageError(PodwayError, ValueError):
    """What a version has learned from is not to be had; the message says what is missing."""


def dataset(workdir: epath.PathLike, model: str, version: int) -> epath.Path:
    """The folder of a published version's dataset. Raises LineageError, ArtifactError."""
    home = layout.models(workdir) / model / str(version)
    if not artifact.exists(home, layout.MANIFEST):
        raise LineageError(
            f"the log has requests to {model} version {version}, which {home} does not hold; give"
            " the --workdir that it was published from"
        )
    manifest = artifact.read_manifest(home, "model", manifest=layout.MANIFEST)
    wanted, datasets = manifest.inputs.get("dataset", ""), epath.Path(workdir) / "datasets"
    for name in sorted(datasets.glob("*")):
        if wanted and artifact.exists(name / wanted):
            return name / wanted
    raise LineageError(
        f"{model} version {version} was made from the dataset {wanted or '(unknown)'}, which is not"
        f" in {datasets} any more; there is nothing to compare with"
    )


def dataset_of(workdir: epath.PathLike, model: str) -> str | None:
    """The name of the dataset of a model's newest version that has one; "" where none has; None
    where there is no such model."""
    home = layout.models(workdir) / model
    if not model or not home.is_dir():
        return None
    numbers = sorted(int(each.name) for each in home.iterdir() if each.name.isdecimal())
    for number in reversed(numbers):
        try:
            return dataset(workdir, model, number).parent.name
        except PodwayError:
            continue
    return ""
