"""Events of files, as columns: landed Parquet shards, or JSON lines.

Of an event that was landed twice, one counts. Fields are found where the lander puts them: in a
column of their own where a schema has them, else in the JSON of the column `unknown`.
"""

import dataclasses
import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.online.error import OnlineError

EXPOSURE, IMPRESSION = "exposure", "impression"
_UNKNOWN = "unknown"
_FIXED = ("id", "type", "user", "time")


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the events of some files say of one trial.

    Attributes:
      arms: user → arm → seconds since 1970 when the user first saw it.
      outcomes: (user, seconds since 1970, value) of each outcome, in no order.
      events: that were read, each id once.
      repeated: that were there before.
    """

    arms: Mapping[str, Mapping[str, float]]
    outcomes: tuple[tuple[str, float, float], ...]
    events: int
    repeated: int


def read(places: Collection[str], trial: str, outcomes: Collection[str], value: str = "") -> Seen:
    """Reads files, or all *.parquet, *.jsonl and *.json below folders.

    Args:
      places: files and folders, local or on gs://.
      trial: its name.
      outcomes: types of events that are outcomes.
      value: field with an outcome's value; "": each counts 1.

    Raises:
      OnlineError: that names the file, and the line of a JSON file.
    """
    arms: dict[str, dict[str, float]] = {}
    found: list[tuple[str, float, float]] = []
    ids: set[str] = set()
    repeated = 0
    for path in _files(places):
        for where, event in _events(path, value):
            kind, user = event["type"], event["user"]
            if kind not in outcomes and kind not in (EXPOSURE, IMPRESSION):
                continue
            if event["id"] in ids:
                repeated += 1
                continue
            ids.add(event["id"])
            if not user:
                continue
            time = event["time"]
            if (arm := _arm(event, trial)) is not None:
                seen = arms.setdefault(user, {})
                seen[arm] = min(time, seen.get(arm, math.inf))
            if kind in outcomes:
                found.append((user, time, _value(event, value, where)))
    return Seen(arms, tuple(found), len(ids), repeated)


def _files(places: Collection[str]) -> list[epath.Path]:
    found: list[epath.Path] = []
    for each in places:
        place = epath.Path(each)
        if place.is_dir():
            inside = sorted(_below(place))
            if not inside:
                raise OnlineError(
                    f"{each} holds no *.parquet and no *.jsonl; give a folder of events"
                )
            found += inside
        elif place.exists():
            found.append(place)
        else:
            raise OnlineError(f"there is no {each}; give files or folders of events")
    return list(dict.fromkeys(found))


def _below(folder: epath.Path) -> Iterator[epath.Path]:
    """Files of events; what begins with "_" or "." is somebody's work in progress."""
    for path in folder.iterdir():
        if path.name.startswith(("_", ".")):
            continue
        if path.is_dir():
            yield from _below(path)
        elif path.suffix in (".parquet", ".jsonl", ".json"):
            yield path


def _events(path: epath.Path, value: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = _parquet(path, value) if path.suffix == ".parquet" else _lines(path)
    for where, event in rows:
        if not isinstance(event.get("id"), str) or not isinstance(event.get("user"), str):
            raise OnlineError(f"{where} has no id and user; they are texts in each event")
        time = event.get("time")
        if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
            raise OnlineError(f"{where} has the time {time!r}; give seconds since 1970")
        yield where, event


def _parquet(path: epath.Path, value: str) -> Iterator[tuple[str, dict[str, Any]]]:
    wanted = [*_FIXED, "trial", "arm", "trials", _UNKNOWN, *([value] if value else [])]
    try:
        with path.open("rb") as file, pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            table = parquet.read([name for name in dict.fromkeys(wanted) if name in names])
    except (pa.ArrowException, OSError) as error:
        raise OnlineError(f"{path} cannot be read as Parquet: {error}") from error
    missing = [name for name in _FIXED if name not in table.column_names]
    if missing:
        raise OnlineError(f"{path} has no column {missing[0]}; an event has {', '.join(_FIXED)}")
    at = table.schema.get_field_index("time")
    if pa.types.is_timestamp(table.schema.types[at]):
        micro = table.column(at).cast(pa.timestamp("us", table.schema.types[at].tz))
        seconds = [v / 1e6 if v is not None else None for v in micro.cast(pa.int64()).to_pylist()]
        table = table.set_column(at, "time", pa.array(seconds, pa.float64()))
    for number, row in enumerate(table.to_pylist(), 1):
        more = row.pop(_UNKNOWN, None)
        kept = {name: each for name, each in row.items() if each is not None}
        where = f"{path}, row {number}"
        yield where, (_object(more, where) if isinstance(more, str) and more else {}) | kept


def _lines(path: epath.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open("r") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield where, _object(line, where)
    except UnicodeDecodeError as error:
        raise OnlineError(f"{path} is no text: {error}") from error


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OnlineError(f"{where} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise OnlineError(f"{where} is no JSON object; an event is one")
    return found


def _arm(event: Mapping[str, Any], trial: str) -> str | None:
    """The arm that an event shows its user to be in."""
    if event["type"] == EXPOSURE:
        return event.get("arm") if event.get("trial") == trial else None
    if event["type"] == IMPRESSION:
        trials = event.get("trials")
        if isinstance(trials, str):
            trials = json.loads(trials)
        if isinstance(trials, list):  # as Arrow reads a map
            trials = dict(trials)
        return trials.get(trial) if isinstance(trials, dict) else None
    return None


def _value(event: Mapping[str, Any], name: str, where: str) -> float:
    if not name:
        return 1.0
    given = event.get(name)
    if given is None:
        return 0.0
    if isinstance(given, bool):
        return float(given)
    if not isinstance(given, int | float) or not math.isfinite(given):
        raise OnlineError(f"{where}: {name} is {given!r}, which is no finite number")
    return float(given)
