"""A model: what identifies it, and whether it is served already. No JAX, no TensorFlow."""

import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from export import layout, publish
from framework import artifact, codec, config


def identity(experiment: config.Experiment) -> dict[str, Any]:
    """The part of an experiment that shapes a model, beside the run that it comes from."""
    parts = codec.to_json(experiment, versioned=True)
    shaping = {name: parts[name] for name in ("name", "model", "export")}
    return shaping | {"exclude_seen": parts["evaluation"]["exclude_seen"]}


def code() -> str:
    """Hash of the sources that make a model; the server's are not among them."""
    own = (f"export/{path.name}" for path in pathlib.Path(__file__).parent.glob("*.py"))
    return artifact.code_hash("framework", *own)


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
