"""Where a rollout stands: rollout.json in the model's folder, and each change in rollouts.jsonl.

A change is written to the history first, as what will be, and then made true by rewriting
rollout.json in one step. A last line of the history that rollout.json does not know was cut short:
it is passed over, and then overwritten. So whatever kills the writer leaves the old state or the
new one, and a history that is true. There is one writer at a time, and any number of readers.
"""

from etils import epath

from podway.framework import artifact
from podway.online.rollout import state as states
from podway.online.rollout.state import State

STATE = "rollout.json"
HISTORY = "rollouts.jsonl"
"""The states of all rollouts of a model, one a line, oldest first."""
OBSERVATIONS = "observations"
"""Folder of what clients have seen, by rollout."""


def read(home: epath.PathLike) -> State | None:
    """The state of a model's last rollout; None: it had none. Raises OnlineError.

    Args:
      home: folder of the model, WORKDIR/models/MODEL.
    """
    path = epath.Path(home) / STATE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    return states.parse(text, str(path))


def history(home: epath.PathLike) -> tuple[State, ...]:
    """All states that have been, oldest first. Raises OnlineError that names the line."""
    return _true(_lines(home), read(home))


def change(home: epath.PathLike, new: State) -> None:
    """Makes a state true, after it was written down."""
    home = epath.Path(home)
    lines = [*_true(_lines(home), read(home)), new]
    text = "".join(f"{states.text(each)}\n" for each in lines)
    artifact.write_atomically(home / HISTORY, text)
    artifact.write_atomically(home / STATE, states.text(new) + "\n")


def observations(home: epath.PathLike, rollout: str) -> epath.Path:
    """The folder of what clients have seen in a rollout."""
    return epath.Path(home) / OBSERVATIONS / rollout


def _lines(home: epath.PathLike) -> tuple[State, ...]:
    path = epath.Path(home) / HISTORY
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ()
    return tuple(
        states.parse(line, f"{path}, line {number}")
        for number, line in enumerate(text.splitlines(), 1)
    )


def _true(lines: tuple[State, ...], current: State | None) -> tuple[State, ...]:
    if lines and lines[-1] != current:
        return lines[:-1]
    return lines
