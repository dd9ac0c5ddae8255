"""A model: what identifies it, and whether it is served already. No JAX, no TensorFlow."""

import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.export import layout
from podway.export.versions import publish
from podway.framework import artifact, codec, config


def identity(experiment: config.Experiment) -> dict[str, Any]:
    """The part of an experiment that shapes a model, beside the run that it comes from."""
    parts = codec.to_json(experiment, versioned=True)
    shaping = {name: parts[name] for name in ("name", "model", "export")}
    return shaping | {"exclude_seen": parts["evaluation"]["exclude_seen"]}


def code() -> str:
    """Hash of the sources that make a model; the server's are not among them."""
    room = pathlib.Path(__file__).parent
    own = (path.relative_to(room) for path in room.rglob("*.py"))
    return artifact.code_hash(
        "framework", *(f"export/{path}" for path in own if path.parts[0] != "server")
    )


def version(experiment: config.Experiment, inputs: Mapping[str, str]) -> str:
    """The content version of the model that would be made from the artefacts `inputs`."""
    return artifact.version(kind="model", config=identity(experiment), inputs=inputs, code=code())


def current(
    experiment: config.Experiment, *, inputs: Mapping[str, str], workdir: epath.PathLike
) -> epath.Path | None:
    """The served version that was made from just this, if there is one.

    Raises ArtifactError where a served version is missing or altered.
    """
    wanted = version(experiment, inputs)
    for number, manifest in publish.served(experiment.name, workdir).items():
        if manifest.version == wanted:
            return layout.models(workdir) / experiment.name / str(number)
    return None
