"""How versions come to their users, as rows of the board's tables: verdicts of gates, rollouts."""

from collections.abc import Mapping

from etils import epath

from podway.export import layout
from podway.framework.report import artefacts
from podway.launch.board import rows as artefact_rows
from podway.launch.board.rows import Cell, Link, Table
from podway.launch.gate import record as gates
from podway.launch.registry import record
from podway.online.rollout.state import State

_STYLES = {"stable": "tag finished", "returned": "tag failed"}
_RUNNING = "tag training"


def of_models(workdir: epath.Path, link: Link) -> Table:
    """A row for each published version, with its last verdict and its last rollout."""
    states = _rollouts(workdir)
    return artefact_rows.of_models(
        workdir,
        link,
        lambda name, number: (
            gate(name, number, workdir, link),
            rollout(states.get(name, {}).get(number)),
        ),
        ("gate", "rollout"),
    )


def gate(name: str, number: int, workdir: epath.Path, link: Link) -> Cell:
    """The last verdict on a version, which leads to its page."""
    directory = gates.latest(workdir, name, number)
    if directory is None:
        return Cell("")
    return _verdict(directory, link)


def rollout(state: State | None) -> Cell:
    """Where the last rollout of a version stands."""
    if state is None:
        return Cell("")
    below = f"{state.share:.0%} of the users" if state.phase == "canary" else ""
    style = _STYLES.get(state.phase, _RUNNING)
    return Cell(state.phase, state.phase, below, style=style, told=state.reason)


def of_gates(workdir: epath.Path, link: Link) -> Table:
    """A row for each verdict, the last one first."""
    head = ("version", "verdict", "judged", "champion", "examples", "against it")
    rows: list[list[Cell]] = []
    for directory in reversed([*gates.all_of(workdir)]):
        found = artefacts.mapping(directory / gates.VERDICT)
        manifest = artefacts.manifest(directory, gates.KIND)
        if manifest is None:
            continue
        model, number = directory.parents[1].name, directory.parent.name
        champion, examples = found.get("champion"), found.get("examples")
        rows.append(
            [
                Cell(model, f"{model} {number:>012}", f"version {number}, no. {directory.name}"),
                _verdict(directory, link),
                Cell(artefacts.clock(manifest.created), manifest.created),
                Cell("–" if champion is None else f"{champion}", champion or 0),
                Cell(f"{examples:,}", examples) if artefacts.is_number(examples) else Cell(""),
                Cell(_against(found)),
            ]
        )
    rows.sort(key=lambda row: str(row[2].sort), reverse=True)
    return Table("gates", head, rows)


def of_rollouts(workdir: epath.Path) -> Table:
    """A row for the last rollout of each version, the last one first."""
    head = ("version", "state", "since", "began", "before it", "why")
    rows = []
    for model, states in _rollouts(workdir).items():
        for number, state in states.items():
            rows.append(
                [
                    Cell(model, f"{model} {number:012}", f"version {number}"),
                    rollout(state),
                    Cell(artefacts.clock(state.since), state.since),
                    Cell(artefacts.clock(state.begun), state.begun),
                    Cell(f"version {state.good}", state.good),
                    Cell(state.reason),
                ]
            )
    rows.sort(key=lambda row: str(row[2].sort), reverse=True)
    return Table("rollouts", head, rows)


def _rollouts(workdir: epath.Path) -> Mapping[str, Mapping[int, State]]:
    home = layout.models(workdir)
    folders = [child for child in home.iterdir() if child.is_dir()] if home.is_dir() else []
    return {folder.name: record.last_rollouts(folder) for folder in folders}


def _verdict(directory: epath.Path, link: Link) -> Cell:
    found = artefacts.mapping(directory / gates.VERDICT)
    passed = found.get("passed")
    said = {True: "passed", False: "not passed"}.get(passed, "?")  # type: ignore[arg-type]
    style = "" if passed is True else "bad"
    return Cell(said, said, link=link(directory, gates.PAGE), style=style, told=_against(found))


def _against(found: Mapping[str, object]) -> str:
    """The rules that do not hold."""
    findings = found.get("findings")
    listed = [each for each in findings if isinstance(each, dict)] if isinstance(findings, list) \
        else []  # fmt: skip
    return "; ".join(
        f"{each.get('rule')}: {each.get('reason')}"
        for each in listed
        if each.get("outcome") not in ("passed", "skipped")
    )
