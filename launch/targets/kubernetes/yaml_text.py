"""Objects as YAML, as `kubectl apply -f` takes them."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any

import yaml

_NUMBER = re.compile(r"\d+[eE]\d+|0o[0-7]+")
"""Numbers to Kubernetes, which reads YAML 1.2, and texts to PyYAML: a hash may look so."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else "'" if _NUMBER.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def of(objects: Sequence[dict[str, Any]]) -> str:
    """All objects, a document each, in the order in which they are applied."""
    return yaml.dump_all(
        objects, Dumper=_Dumper, sort_keys=False, width=100, explicit_start=True, allow_unicode=True
    )


def write(objects: Sequence[dict[str, Any]], folder: str) -> list[pathlib.Path]:
    """A file for each object, named by the order in which they are applied."""
    home, found = pathlib.Path(folder), []
    home.mkdir(parents=True, exist_ok=True)
    for at, each in enumerate(objects):
        path = home / f"{at:02}-{each['kind'].lower()}-{each['metadata']['name']}.yaml"
        path.write_text(of([each]))
        found.append(path)
    return found
