"""The layout is the architecture: which room may import what."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FORBIDDEN = {
    "framework": {"tensorflow", "tensorflow_serving", "apache_beam", "beam", "export", "launch"},
    "beam": {"jax", "flax", "optax", "tensorflow", "tensorflow_serving", "export", "launch"},
    "export": {"apache_beam", "beam", "launch"},
    "export/server": {"jax", "flax", "apache_beam", "beam", "launch"},
    "configs": {"tensorflow", "apache_beam", "beam", "export", "launch"},
}
BEAM_MAY = {
    "framework.codec",
    "framework.config",
    "framework.artifact",
    "framework.schema",
    "framework.error",
    "framework.code_points",
    "framework.features",
    "framework.provenance",
    "framework.sources",
    "framework.transform",
    "framework.upgrade",
}


def imports(path: pathlib.Path, *, at_start: bool = False) -> set[str]:
    """Dotted names of everything that a file imports: anywhere in it, or outside of functions."""
    found, tree = set(), ast.parse(path.read_text())
    if at_start:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_import_goes_through_a_wall(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & FORBIDDEN[room], path


def test_beam_knows_only_the_pure_part_of_the_framework():
    for path in (ROOT / "beam").rglob("*.py"):
        used = {
            ".".join(name.split(".")[:2]) for name in imports(path) if name.startswith("framework.")
        }
        assert used <= BEAM_MAY, path


def test_the_pure_part_is_pure():
    pure = {
        "config",
        "codec",
        "artifact",
        "schema",
        "error",
        "features",
        "code_points",
        "transform",
    }
    pure |= {"checksum", "provenance", "local_store", "object_store"}
    pure |= {"classes", "imports", "sources", "upgrade"}
    allowed = {f"framework.{name}" for name in pure}
    for name in pure:
        for imported in imports(ROOT / "framework" / f"{name}.py", at_start=True):
            root = imported.split(".")[0]
            assert root not in {"jax", "numpy", "pyarrow", "flax"}, (name, imported)
            if imported.startswith("framework."):
                assert ".".join(imported.split(".")[:2]) in allowed, (name, imported)
