"""Workflows of GitHub for a repository of models."""

import importlib.resources
import pathlib

from podway.framework import artifact
from podway.framework.error import PodwayError

FOLDER = pathlib.Path(".github/workflows")


def write(config: str, root: pathlib.Path) -> list[pathlib.Path]:
    """Writes the workflows for a config into a repository. Returns their paths.

    Raises PodwayError, and writes none, where one is there already.
    """
    source = importlib.resources.files("podway.launch.ci") / "workflows"
    texts = {
        root / FOLDER / each.name: each.read_text().replace("CONFIG", config)
        for each in sorted(source.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".yml")
    }
    for path in texts:
        if path.exists():
            raise PodwayError(f"{path} is there already: remove it, or edit it by hand")
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        artifact.write_atomically(path, text)
    return list(texts)
