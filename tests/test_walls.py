"""The layout is the architecture: what may import what, and how large a room's parts may be."""

import ast
import collections
import functools
import graphlib
import itertools
import pathlib
import re

import pytest

from tests.arrows import ARROWS, FORBIDDEN, KNOWN, PURE, ROOMS, SHARED

ROOT = pathlib.Path(__file__).parent.parent
LINES, FILES = 400, 20


@functools.cache
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


def sources(*folders: str) -> list[pathlib.Path]:
    """The Python files below folders of the checkout."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    return files


def modules() -> dict[str, pathlib.Path]:
    """podway's modules by dotted name."""
    found = {}
    for path in sources(*ROOMS):
        place = path.relative_to(ROOT).with_suffix("")
        parts = place.parent.parts if place.name == "__init__" else place.parts
        found[".".join(["podway", *parts])] = path
    return found


MODULES = modules()


@functools.cache
def imported(path: pathlib.Path) -> frozenset[pathlib.Path]:
    """podway's files that a file imports; of what a package's `__init__` has, the `__init__`."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if name in MODULES else node.module for name in full]
    return frozenset(MODULES[name] for name in names if name in MODULES)


def package(path: pathlib.Path) -> str:
    """The package that a file is of, "beam/steps"; of one right in a room, itself, "beam/plan"."""
    place = path.relative_to(ROOT)
    folder = place.parent.as_posix()
    if folder in ARROWS and folder != "configs" and place.name != "__init__.py":
        return place.with_suffix("").as_posix()
    return folder


def arrows() -> dict[str, set[str]]:
    """Package → the packages that it imports."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for path in MODULES.values():
        found[package(path)] |= {package(other) for other in imported(path)} - {package(path)}
    return found


def allowed(room: str, names: str) -> set[str]:
    """Full names of an entry of ARROWS."""
    known = {*ROOMS, "export/server"}
    return {name if name.split("/")[0] in known else f"{room}/{name}" for name in names.split()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of the graph; [] if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_import_goes_through_a_wall(room):
    for path in sources(room):
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & FORBIDDEN[room], path


@pytest.mark.parametrize("room", KNOWN)
def test_rooms_know_those_before_them(room):
    for path in sources(room):
        seen = {other.relative_to(ROOT).parts[0] for other in imported(path)}
        assert seen <= KNOWN[room], path


@pytest.mark.parametrize("room", ["beam", "online"])
def test_some_know_only_the_pure_part_of_the_framework(room):
    for path in sources(room):
        seen = {name for name in map(package, imported(path)) if name.startswith("framework/")}
        assert seen <= {f"framework/{name}" for name in PURE}, path


def test_the_pure_part_is_pure():
    for path in sources("framework"):
        if package(path).removeprefix("framework/") in PURE:
            for name in imports(path, at_start=True):
                assert name.split(".")[0] not in {"jax", "numpy", "pyarrow", "flax"}, (path, name)
            for other in imported(path):
                assert package(other).removeprefix("framework/") in PURE, (path, other)


def test_the_server_knows_of_the_export_where_versions_lie():
    for path in sources("export/server"):
        seen = {other.relative_to(ROOT).as_posix() for other in imported(path)}
        outside = {name for name in seen if not name.startswith("export/server/")}
        may = {"export/layout.py", "export/error.py", "export/versions/models_config.py"}
        may |= {"export/signature/minisign.py", "export/signature/signed.py"}
        assert outside <= may | {"framework/error.py"}, path


@pytest.mark.parametrize("room", ARROWS)
def test_packages_import_what_the_table_says(room):
    found = {}
    for name, others in arrows().items():
        if (name if name in ARROWS else name.rpartition("/")[0]) == room or (
            name.startswith(f"{room}/") and not name.startswith("export/server")
        ):
            seen = others - SHARED
            if room == "launch":
                seen = {other for other in seen if other.startswith("launch/")}
            found[name] = seen
    found = {name: seen for name, seen in found.items() if name not in SHARED}
    table = {f"{room}/{name}".rstrip("/"): allowed(room, n) for name, n in ARROWS[room].items()}
    rooms = {
        "framework",
        "beam",
        "export",
        "export/server",
        "online",
        "launch",
    }  # their own __init__
    assert not any(found.pop(name, None) for name in rooms)
    assert found == table


def test_no_circle_of_packages_or_files():
    assert not circle(arrows())
    files: dict[str, set[str]] = collections.defaultdict(set)
    for path in MODULES.values():
        name = path.relative_to(ROOT).as_posix()
        files[name] |= {other.relative_to(ROOT).as_posix() for other in imported(path)} - {name}
    assert not circle(files)


CODE = re.compile(
    rf"(?:^|[;\n])\s*(?:from (?:{'|'.join(ROOMS)})[\w.]* import|import (?:{'|'.join(ROOMS)})\b)"
)
RUN = re.compile(rf"-m,? [\"']?(?:{'|'.join(ROOMS)})\b")


def test_everybody_says_podway():
    """`import framework` from the checkout would be a second module, with classes of its own."""
    for path in sources(*ROOMS, "tests", "benchmarks"):
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & set(ROOMS), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not CODE.search(node.value), (path, node.value)
            if isinstance(node, ast.List | ast.Tuple | ast.Call):
                parts = node.args if isinstance(node, ast.Call) else node.elts
                words = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
                for flag, name in itertools.pairwise(words):
                    assert flag != "-m" or name.split(".")[0] not in ROOMS, (path, name)
    texts = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", ".ci/run")]
    for path in [*texts, *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.sh")]:
        assert not RUN.search(path.read_text()), path
        assert not CODE.search(path.read_text()), path


def test_no_file_is_long_and_no_folder_full():
    folders: dict[str, int] = collections.Counter()
    for path in sources(*ROOMS, "tests", "benchmarks"):
        place = path.relative_to(ROOT)
        lines = len(path.read_text().splitlines())
        assert lines <= LINES, f"{place} has {lines} lines"
        folders[place.parent.as_posix()] += 1
    del folders["configs"]  # one file an experiment
    assert not {name: files for name, files in folders.items() if files > FILES}


def test_the_import_package_links_to_the_rooms():
    links = {path.name: path for path in (ROOT / "src" / "podway").iterdir() if path.is_symlink()}
    assert set(links) == set(ROOMS)
    for room, link in links.items():
        assert link.resolve() == ROOT / room


PATH = re.compile(
    rf"(?<![\w/.-])(?:{'|'.join((*ROOMS, 'tests', 'benchmarks'))})/[\w/]*(?:\.py)?(?![\w*])"
)


def test_no_path_in_a_text_is_dead():
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for path in [*texts, *sources(*ROOMS)]:
        for found in PATH.findall(path.read_text()):
            if found.endswith((".py", "/")):
                assert (ROOT / found).exists(), (path, found)
