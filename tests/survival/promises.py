"""The survival table: for each stage and fault a promise, and the test that holds us to it.

`python -m tests.survival.promises` writes it, with the last figures, into docs/survival.md.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "survival.md"
FIGURES = pathlib.Path(__file__).with_name("figures.json")
"""{"STAGE: FAULT": [moments that passed, moments]}, as `python -m tests.survival` counted them."""
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->\n"

PROMISES = {
    "same": "given again, the command leads to what it would have led to, to the last bit; until"
    " then nothing that is half made counts as whole",
    "said": "it ends by itself, with code 1 and the file or the reason; then as *same*",
    "on": "it goes on by itself, and leads to the same",
    "kept": "what served before serves on, without an answer that is wrong",
    "once": "no event is lost, and none counts twice",
    "none": "the fault does not reach this stage",
}
FAULTS = {
    "kill": "SIGKILL",
    "oom": "out of memory",
    "term": "SIGTERM",
    "stop": "SIGSTOP",
    "disk": "disk full",
    "cut": "newest artefact cut off",
    "flip": "a bit of it flipped",
    "clock": "clock set back",
    "denied": "permissions lost",
    "half": "half uploaded",
    "store": "store answers 503",
    "slow": "store is slow",
    "partition": "one of several lost",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is promised, and where it is tested: by a test of its own, or else by the harness."""

    promise: str
    path: str = ""
    test: str = ""


_NONE = Cell("none")


def _command(**others: Cell) -> dict[str, Cell]:
    """The row of a command that the harness strikes."""
    again = "killed_process_leaves_nothing_committed_and_can_be_repeated"
    return {
        **{fault: Cell("same") for fault in ("kill", "oom", "term", "store")},
        **{fault: Cell("said") for fault in ("disk", "cut", "flip", "denied")},
        **{fault: Cell("on") for fault in ("stop", "clock", "slow")},
        "half": Cell("same", "framework/artifact/test_artifact.py", f"test_a_{again}"),
        "partition": _NONE,
        **others,
    }


def _killed(cell: Cell) -> dict[str, Cell]:
    """The kernel's kill for want of memory is a SIGKILL."""
    return {"kill": cell, "oom": cell}


_HERE, _SERVER = "survival/test_serve.py", "export/server"
_DAMAGED = Cell(
    "kept", f"{_SERVER}/test_serve.py", "test_a_damaged_version_never_replaces_what_serves"
)
_SERVE = {
    **_killed(Cell("same", _HERE, "test_killed_and_started_again_it_serves_what_it_served")),
    **dict.fromkeys(("cut", "flip", "half"), _DAMAGED),
    "term": Cell(
        "kept",
        f"{_SERVER}/test_serve.py",
        "test_sigterm_lets_requests_finish_then_exits_with_0",
    ),
    "stop": Cell("kept", _HERE, "test_stopped_for_a_while_it_answers_then"),
    "disk": Cell(
        "kept",
        f"{_SERVER}/test_request_log.py",
        "test_a_disk_that_fails_costs_lines_and_no_request",
    ),
    "clock": Cell("kept", _HERE, "test_a_clock_that_goes_back_changes_nothing"),
    "denied": Cell("kept", _HERE, "test_folders_that_may_not_be_read_any_more_cost_no_answer"),
    "partition": Cell(
        "said", f"{_SERVER}/test_workers.py", "test_a_worker_that_ends_by_itself_ends_the_server"
    ),
}
_LANDS, _EVENTS = "online/lander", "survival/test_events.py"
_AWAY = Cell("once", _EVENTS, "test_a_lander_whose_store_is_away_or_slow_lands_each_event_once")
_LANDER = {
    **_killed(
        Cell("once", f"{_LANDS}/test_history.py", "test_nothing_is_lost_doubled_or_out_of_order")
    ),
    "term": Cell(
        "once", f"{_LANDS}/test_lander.py", "test_an_end_in_good_order_lands_what_was_polled"
    ),
    "stop": Cell(
        "once", _EVENTS, "test_a_lander_that_was_stopped_for_a_while_lands_each_event_once"
    ),
    "disk": Cell(
        "once", f"{_LANDS}/test_lander.py", "test_a_disk_that_is_full_for_a_while_costs_nothing"
    ),
    "clock": Cell("once", _EVENTS, "test_a_lander_whose_clock_goes_back_lands_each_event_once"),
    "denied": Cell(
        "once", _EVENTS, "test_a_lander_that_may_not_write_for_a_while_lands_each_event_once"
    ),
    "cut": Cell(
        "said",
        _EVENTS,
        "test_a_shard_that_was_cut_is_named_and_once_it_is_mended_each_event_is_landed_once",
    ),
    "half": _NONE,
    **dict.fromkeys(("store", "slow"), _AWAY),
    "partition": Cell(
        "once", f"{_LANDS}/test_history.py", "test_nor_is_it_when_the_broker_is_killed"
    ),
}
_NEAR = "online/nearline/test_service.py"
_ONE_OF_TWO = Cell("once", _NEAR, "test_killed_at_random_each_event_counts_once")
_STOPPED_OR_BACK = Cell(
    "once", _EVENTS, "test_nearline_that_is_stopped_or_set_back_counts_each_event_once"
)
_NEARLINE = {
    **_killed(_ONE_OF_TWO),
    "term": _ONE_OF_TWO,
    **dict.fromkeys(("stop", "clock"), _STOPPED_OR_BACK),
    "cut": Cell("said", "online/nearline/test_apply.py", "test_a_damaged_history_is_named"),
    "half": _NONE,
    "store": Cell("once", _NEAR, "test_a_store_that_is_away_is_waited_for"),
    "partition": _ONE_OF_TWO,
}
_FAILURES = "online/gateway/test_failures.py"
_STRUCK = Cell(
    "kept",
    "survival/test_gateway.py",
    "test_stopped_it_answers_then_and_killed_it_answers_when_it_is_started_again",
)
_HANGS = Cell("kept", _FAILURES, "test_the_store_is_killed_hangs_and_comes_back")
_GATEWAY = {
    **_killed(_STRUCK),
    "term": Cell("kept", _FAILURES, "test_it_ends_in_good_order"),
    "stop": _STRUCK,
    "clock": Cell(
        "kept", "survival/test_gateway.py", "test_a_clock_that_goes_back_costs_no_answer"
    ),
    "cut": Cell("kept", _FAILURES, "test_lists_that_were_made_beforehand_stand_in_for_the_model"),
    "half": _NONE,
    **dict.fromkeys(("store", "slow"), _HANGS),
    "partition": Cell("kept", _FAILURES, "test_the_embedded_model_server_is_killed"),
}
_NO_MODEL = Cell(
    "kept", "launch/rollout/test_return.py", "test_a_version_that_is_worse_goes_back_by_itself"
)
_CONTROLLER = Cell(
    "on",
    "launch/rollout/test_return.py",
    "test_a_controller_that_is_struck_goes_on_or_another_does_and_two_never_act",
)
_ROLLOUT = {
    **_killed(
        Cell(
            "same",
            "launch/rollout/test_controller.py",
            "test_a_kill_at_any_write_is_followed_by_the_same_end",
        )
    ),
    **dict.fromkeys(("cut", "half"), _NO_MODEL),
    **dict.fromkeys(("term", "partition"), dataclasses.replace(_CONTROLLER, promise="same")),
    "stop": _CONTROLLER,
}
_TOGETHER = Cell(
    "same",
    "framework/training/test_distributed.py",
    "test_all_end_when_one_is_killed_and_go_on_bit_by_bit",
)
CELLS: Mapping[str, Mapping[str, Cell]] = {
    "data": _command(cut=_NONE, flip=_NONE),
    "data, 2 processes": _command(cut=_NONE, flip=_NONE, partition=Cell("same")),
    "train": _command(),
    "train, 4 processes": _command(partition=_TOGETHER),
    "evaluate": _command(),
    "export": _command(),
    "promote": _command(),
    "predict": _command(),
    "compress": _command(),
    "loop": _command(cut=_NONE, flip=_NONE),
    "serve": _SERVE,
    "lander": _LANDER,
    "nearline": _NEARLINE,
    "gateway": _GATEWAY,
    "rollout": _ROLLOUT,
}


def table(figures: Mapping[str, list[int]]) -> Iterator[str]:
    """The table as Markdown; a cell that nothing tests says so."""
    yield f"| | {' | '.join(FAULTS.values())} |"
    yield f"|{'---|' * (len(FAULTS) + 1)}"
    for stage, row in CELLS.items():
        yield f"| {stage} | {' | '.join(_shown(stage, fault, row, figures) for fault in FAULTS)} |"


def _shown(stage: str, fault: str, row: Mapping[str, Cell], figures: Mapping) -> str:
    if fault not in row:
        return "*open*"
    cell = row[fault]
    if cell.promise == "none":
        return "–"
    passed = figures.get(f"{stage}: {'kill' if fault == 'oom' else fault}")
    if cell.path:
        return f"{cell.promise}, test"
    return f"{cell.promise}, {passed[0]}/{passed[1]}" if passed else f"{cell.promise}, *open*"


def tests() -> Iterator[tuple[pathlib.Path, str]]:
    """The files and names of the tests that cells name."""
    for row in CELLS.values():
        for cell in row.values():
            if cell.path:
                yield ROOT / "tests" / cell.path, cell.test


def written(page: str) -> str:
    """The page with the table of now."""
    lines = "\n".join(table(json.loads(FIGURES.read_text())))
    return re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}",
        lambda _: f"{BEGIN}{lines}\n{END}",
        page,
        flags=re.S,
    )


def add(counted: Mapping[str, list[int]]) -> None:
    """Takes over figures of moments."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps(dict(sorted({**known, **counted}.items())), indent=1) + "\n")


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
