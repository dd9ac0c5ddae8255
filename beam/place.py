"""Where a dataset lies: its version, and which extension stands for it.

All that a trainer must know of the data stage; it needs neither Beam nor what reads raw files.
"""

import json
from typing import Any

from etils import epath

from podway.beam.error import DataError
from podway.beam.formats import source
from podway.framework import artifact, codec, config
from podway.framework.artifact import upgrade
from podway.framework.code import sources
from podway.framework.error import ConfigError


def directory(
    data: config.Data,
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
    *,
    look: bool = False,
) -> epath.Path:
    """Where the dataset of this config, of the raw data as they are now, lies or will lie.

    Where it was not built as a whole but as an extension (see `extend`), it is that. `choice` and
    `look` say what becomes of one that other code built. With data.version it is that one.

    Raises:
      DataError: no raw file, or no dataset of data.version.
      ConfigError: that one has another config.
      CodeChanged: other code built it, and there is no choice.
    """
    if data.version:
        return _of_version(data, workdir)
    whole = directory_of_whole(data, workdir)
    if found := standing_for(whole):
        return found
    others = [standing_for(other) for other in of_other_code(whole)]
    return upgrade.choose(
        whole,
        "dataset",
        sources.code("dataset", data),
        choice,
        others=[other for other in others if other is not None],
        look=look,
    )


def _of_version(data: config.Data, workdir: epath.PathLike) -> epath.Path:
    folder = epath.Path(workdir) / "datasets" / data.name
    if not artifact.exists(folder / data.version):
        paths = folder.iterdir() if folder.exists() else ()
        there = sorted(path.name for path in paths if artifact.exists(path))
        raise DataError(
            f"data.version is {data.version!r} and {folder} has no such dataset; it has"
            f" {there or 'none'}"
        )
    made = artifact.read_manifest(folder / data.version, "dataset").config
    if difference := codec.difference(codec.to_json(data, versioned=True), made, "data"):
        raise ConfigError(
            f"{difference}, in the dataset of data.version {data.version}: give its config, or"
            " leave data.version out"
        )
    return folder / data.version


def directory_of_whole(data: config.Data, workdir: epath.PathLike) -> epath.Path:
    """Where `build` puts it, whatever is there already. Raises DataError: no raw file."""
    return epath.Path(workdir) / "datasets" / data.name / artifact.version(**identity_of(data))


def identity_of(data: config.Data) -> dict[str, Any]:
    """What the version is a hash of."""
    raw = [source.content_hash(part, source.find(part)) for part in (data, *data.tables)]
    return {
        "kind": "dataset",
        "config": codec.to_json(data, versioned=True),
        "inputs": {"raw": codec.content_hash(raw)},
        "code": sources.code("dataset", data),
    }


def instead_of(whole: epath.Path) -> epath.Path | None:
    """The extension that stands for the dataset `whole`, if one was committed."""
    pointer = _pointer(whole)
    if not pointer.exists():
        return None
    directory = whole.parent / json.loads(pointer.read_text())["version"]
    return directory if artifact.exists(directory) else None


def standing_for(whole: epath.Path) -> epath.Path | None:
    """The committed dataset of the config and raw files of `whole`: it, or an extension."""
    return whole if artifact.exists(whole) else instead_of(whole)


def of_other_code(whole: epath.Path) -> list[epath.Path]:
    """What stands for `whole` in the versions of other code, whether built at once or extended."""
    pointers = upgrade.siblings(whole.parent / "extensions" / whole.name)
    names = {path.name.removesuffix(".json") for path in pointers} - {whole.name}
    names |= {path.name for path in upgrade.siblings(whole)}
    return [whole.parent / name for name in sorted(names)]


def point(whole: epath.Path, version: str) -> None:
    """Lets a committed extension stand for the dataset `whole`."""
    artifact.write_atomically(_pointer(whole), json.dumps({"version": version}) + "\n")


def _pointer(whole: epath.Path) -> epath.Path:
    return whole.parent / "extensions" / f"{whole.name}.json"
