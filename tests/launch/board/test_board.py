"""The board says what a workdir holds, whatever state that is in."""

import html
import http.client
import json
import pathlib
import re
import threading
import time

import pytest
from etils import epath

from podway.export import layout
from podway.framework import artifact
from podway.framework.config import Rollout
from podway.framework.page import text as words
from podway.framework.runs import records
from podway.launch import cli
from podway.launch.board import page, rows, server
from podway.launch.gate import record as gates
from podway.launch.verbs.search import sweep
from podway.online.rollout import state as states
from podway.online.rollout import store
from tests.beam.report.test_page import opened
from tests.framework.report.test_run import (
    EVIL,
    LEARNING,
    begin,
    commit,
    evaluate,
    locked,
    plain,
)
from tests.launch.sweep import examples

JUDGED = [{"step": 2, "validation/ndcg@10": 0.125}, {"step": 4, "validation/ndcg@10": None}]


@pytest.fixture
def workdir(tmp_path) -> epath.Path:
    """A finished and evaluated run, one in training, one that stopped and one that failed."""
    commit(begin(tmp_path, "run-1", metrics=LEARNING))
    evaluate(tmp_path, "run-1")
    locked(begin(tmp_path, "run-2", metrics=[*LEARNING[:2], *JUDGED[:1]]))
    begin(tmp_path, "run-3", metrics=LEARNING[:1])
    records.end(begin(tmp_path, "run-4"), f"the loss is nan {EVIL}")
    dataset = epath.Path(tmp_path) / "datasets" / "shop" / "data-1"
    dataset.mkdir(parents=True)
    (dataset / "statistics.html").write_text("the statistics")
    described = {"splits": {"train": {"examples": 1234}}, "report": {"users": 99, "kept": 5678}}
    artifact.commit(
        dataset,
        kind="dataset",
        name="shop",
        version="data-1",
        config={},
        inputs={},
        code="",
        details=described,
    )
    model = epath.Path(tmp_path) / "models" / "shop" / "12"
    (model / "assets.extra").mkdir(parents=True)
    (model / layout.CARD).write_text("the card")
    artifact.commit(
        model,
        kind="model",
        name="shop",
        version="m-1",
        config={},
        inputs={"run": "run-1"},
        code="",
        details={"verified": "verified: 3 cases"},
        manifest=layout.MANIFEST,
    )
    return epath.Path(tmp_path)


def cells(text: str, table: str) -> list[list[str]]:
    """What the rows of a table say."""
    (body,) = re.findall(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    return [
        [html.unescape(plain(cell)).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def test_every_artefact_has_its_row(workdir):
    page.write(workdir, workdir / "board.html")
    text = (workdir / "board.html").read_text()
    runs = {row[0].split()[1]: row for row in cells(text, "runs")}
    assert set(runs) == {"run-1", "run-2", "run-3", "run-4"}
    first = runs["run-1"]
    assert first[0] == "shop run-1 SasRec"
    assert first[1:6] == [
        "finished", "2026-02-03 04:05", "4", "ndcg@10 test", "0.5000 [0.3750, 0.6250]"
    ]  # fmt: skip
    assert first[8] == "shop data-1"
    assert runs["run-2"][1].startswith("training by Ada on ")
    assert runs["run-2"][3:6] == ["2 of 4", "ndcg@10 validation", "0.1250"]
    assert runs["run-3"][1].startswith("stopped last sign 20")
    assert runs["run-4"][1] == f"failed the loss is nan {EVIL}"
    assert runs["run-4"][4:6] == ["", ""]
    assert [row[:2] for row in cells(text, "evaluations")] == [["shop of-run-1", "run-1"]]
    assert cells(text, "evaluations")[0][3:] == ["ndcg@10", "0.5000 SasRec [0.3750, 0.6250]", ""]
    ((model, _, verified, _, _, gate, rollout, run),) = cells(text, "models")
    assert (gate, rollout) == ("", "")
    assert (model, verified, run) == ("shop version 12", "yes", "run-1")
    assert cells(text, "datasets")[0][2:5] == ["1,234", "5,678", "99"]
    assert "training 1" in plain(text)
    assert "<img" not in text
    links = re.findall(r'href="(.*?)"', text)
    assert {link.partition("/")[0] for link in links} == {"runs", "datasets", "models"}
    for link in links:
        assert (workdir / link).exists(), link
    assert "2 to 8" not in text  # curves are of what trains
    assert "4 to 8, at last 4; step 1 to 2" in text


def test_the_page_may_lie_anywhere(workdir, tmp_path_factory):
    elsewhere = epath.Path(tmp_path_factory.mktemp("elsewhere")) / "new" / "b.html"
    page.write(workdir, elsewhere)
    links = re.findall(r'href="(.*?)"', elsewhere.read_text())
    assert len(links) >= 6
    for link in links:
        assert (elsewhere.parent / link).exists(), link


def test_a_parent_is_named(workdir, tmp_path):
    warm = {"trainer": {"steps": 4, "warm_start": {"run": str(tmp_path / "runs/shop/run-1")}}}
    begin(tmp_path, "run-5", experiment={"model": {"type": "SasRec"}} | warm)
    text = page.page(workdir, rows.linked(workdir))
    (row,) = [row for row in cells(text, "runs") if "run-5" in row[0]]
    assert row[7] == "shop run-1"


def test_a_run_that_ended_early_has_the_steps_that_it_did(workdir):
    commit(begin(workdir, "run-6"), steps=2, ended="no progress")
    text = page.page(workdir, rows.linked(workdir))
    (row,) = [row for row in cells(text, "runs") if "run-6" in row[0]]
    assert (row[1], row[3]) == ("finished no progress", "2 of 4")


def test_of_two_values_the_smaller_is_best_where_it_is_a_loss():
    others = [("mean", {"value": 0.5}), ("item mean", {"value": 0.25}), ("nan", {"value": None})]
    assert rows._best(others, largest=False).below == "item mean"
    assert rows._best(others, largest=True).below == "mean"
    assert rows._best([], largest=True) == rows.Cell("")


@pytest.mark.parametrize("damage", ["", "{", "[]", "\x00", '{"model": 7, "seconds": 3}'])
def test_what_is_damaged_has_a_row_or_none(workdir, damage):
    for file in pathlib.Path(workdir).rglob("*.json*"):
        file.write_text(damage)
    (workdir / "models" / "models.config").write_text(damage)
    text = page.page(workdir, rows.linked(workdir))
    assert len(cells(text, "runs")) == 4


@pytest.fixture
def operated(workdir) -> epath.Path:
    """Version 12 was judged twice, and went back from its canary."""
    for number, passed in ((1, True), (2, False)):
        finding = {"rule": "ndcg@10 not worse", "reason": f"it is {EVIL}"}
        finding |= {"outcome": "passed" if passed else "failed"}
        verdict = {"passed": passed, "champion": 3, "examples": 1234, "findings": [finding]}
        directory = gates.home(workdir, "shop", 12) / str(number)
        directory.mkdir(parents=True)
        (directory / gates.VERDICT).write_text(json.dumps(verdict))
        (directory / gates.PAGE).write_text(f"verdict {number}")
        identity = {"kind": "gate", "name": "shop", "version": f"{number}", "config": {}}
        artifact.commit(directory, inputs={}, code="", **identity)
    home = layout.models(workdir) / "shop"
    plan = Rollout(shadow=0, shares=(0.25,))
    state = states.begin("shop", 12, 3, plan, "2026-11-30T09:00:00+00:00")
    store.change(home, state)
    state = states.forward(state, "2026-11-30T09:01:00+00:00")
    store.change(home, state)
    return workdir


def test_a_version_has_its_last_verdict_and_where_its_rollout_stands(operated):
    page.write(operated, operated / "board.html")
    text = (operated / "board.html").read_text()
    ((*_, gate, rollout, _),) = cells(text, "models")
    assert (gate, rollout) == ("not passed", "canary 25% of the users")
    last, first = cells(text, "gates")
    assert last[:2] == ["shop version 12, no. 2", "not passed"]
    assert last[3:] == ["3", "1,234", f"ndcg@10 not worse: it is {EVIL}"]
    assert first[:2] == ["shop version 12, no. 1", "passed"]
    assert cells(text, "rollouts") == [
        ["shop version 12", "canary 25% of the users", "2026-11-30 09:01", "2026-11-30 09:00",
         "version 3", ""]
    ]  # fmt: skip
    assert "<img" not in text
    for link in re.findall(r'href="(gates/.*?)"', text):
        assert (operated / link).exists(), link
    home = layout.models(operated) / "shop"
    state = store.read(home)
    assert state is not None
    store.change(home, states.back(state, "it is slow", "2026-11-30T09:02:00+00:00"))
    ((_, state, *_, why),) = cells(page.page(operated, rows.linked(operated)), "rollouts")
    assert (state, why) == ("returning", "it is slow")
    (home / store.HISTORY).write_text("{")
    assert "none yet" in page.page(operated, rows.linked(operated))


def test_a_sweep_has_what_it_found_and_one_under_way_is_unfinished(workdir, asked):
    plan, found = examples.plan(workdir), examples.outcome()
    plan.write()
    sweep._publish(plan, found, {}, time.time())
    examples.plan(workdir, trials=2, seed=9).write()
    page.write(workdir, workdir / "board.html")
    text = (workdir / "board.html").read_text()
    other, last = cells(text, "sweeps")
    assert found.decision is not None
    assert found.bill is not None
    best = found.decision.standings[found.decision.best].mean
    assert last[0] == f"walks {plan.version}"
    assert last[1] == "finished"
    counts = "24 17 complete, 4 pruned, 3 refused"
    assert last[3:6] == [counts, f"{best:.4f} ndcg@5, validation", "2 quality, latency"]
    assert last[6] == f"run trial {found.decision.winner}"
    assert last[7] == f"{words.number(found.bill.total)} USD"
    assert other[1:] == ["unfinished", "", "", "", "", "", ""]
    assert f'href="sweeps/walks/{plan.version}/sweep.html"' in text
    (link,) = re.findall(r'href="(/sweeps/.*?)"', asked("/")[1])
    assert asked(link) == (200, (plan.directory / "sweep.html").read_text())
    for kept in ("sweep.json", "plan.json", "trials.db"):
        assert asked(f"/sweeps/walks/{plan.version}/{kept}")[0] == 404
    for damage in ("{", "[]", '{"winner": 3, "front": 7, "trials": {}, "money": []}'):
        (plan.directory / "sweep.json").write_text(damage)
        (plan.directory / "told.json").write_text(damage)
        assert len(cells(page.page(workdir, rows.linked(workdir)), "sweeps")) == 2


def test_an_empty_workdir_has_a_page(tmp_path):
    text = page.page(epath.Path(tmp_path), rows.linked(epath.Path(tmp_path)))
    assert text.count("none yet") == 8


def test_hostile_folders_are_inert(tmp_path):
    begin(tmp_path, '"><b onclick=x>&#39;', metrics=LEARNING)
    (tmp_path / "models" / "javascript:alert(1)" / "3").mkdir(parents=True)
    (tmp_path / "models" / "javascript:alert(1)" / "3" / layout.CARD).write_text("card")
    page.write(tmp_path, tmp_path / "models" / "b.html")
    text = (tmp_path / "models" / "b.html").read_text()
    assert "<b onclick" not in text
    assert 'href="javascript:' not in text
    assert 'href="javascript%3Aalert%281%29/3/card.html"' in text


# ----------------------------------------------------------------------------------------- served


@pytest.fixture
def asked(workdir):
    """Asks a server of the board: path, method, host → (status, text)."""
    listening = server.server(workdir, "127.0.0.1", 0)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()

    def ask(path: str, method: str = "GET", host: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection(*listening.server_address[:2], timeout=30)
        connection.putrequest(method, path, skip_host=bool(host))
        if host:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    yield ask
    listening.shutdown()
    listening.server_close()


def test_the_server_leads_to_every_page(workdir, asked):
    status, text = asked("/")
    assert status == 200
    assert 'data-seconds="5"' in text
    links = re.findall(r'href="(.*?)"', text)
    assert len(links) >= 6
    for link in links:
        assert asked(link)[0] == 200, link
    assert asked("/datasets/shop/data-1/statistics.html") == (200, "the statistics")
    assert asked("/models/shop/12/card.html") == (200, "the card")
    assert asked("/", "HEAD") == (200, "")
    assert asked("/", "POST")[0] == 501


def test_the_server_leads_to_verdicts_and_nothing_beside_them(operated, asked):
    text = asked("/")[1]
    links = re.findall(r'href="(/gates/.*?)"', text)
    assert sorted({asked(link)[1] for link in links}) == ["verdict 1", "verdict 2"]
    for path in ("verdict.json", "../1/report.html", "manifest.json", ""):
        assert asked(f"/gates/shop/12/1/{path}")[0] == 404


def test_what_is_served_is_as_it_is_now(workdir, asked):
    """A page of a run that trains is made when it is asked for, and says to ask again."""
    path = "/runs/shop/run-2/report.html"
    assert not (workdir / "runs/shop/run-2/report.html").exists()
    status, text = asked(path)
    assert status == 200
    assert "4 to 8, at last 4; step 1 to 2" in text
    assert '<meta http-equiv="refresh" content="5">' in text
    with (workdir / "runs/shop/run-2/metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "loss": 0.25}) + "\n")
    assert "0.25 to 8, at last 0.25; step 1 to 3" in asked(path)[1]
    commit(workdir / "runs/shop/run-2")
    assert 'http-equiv="refresh' not in asked(path)[1]


@pytest.mark.parametrize(
    "path",
    [
        "/runs/shop/run-1/manifest.json",
        "/runs/shop/run-1/",
        "/runs/shop/nothing/report.html",
        "/runs/../runs/run-1/report.html",
        "/runs/shop/../report.html",
        "/datasets/shop/run-1/report.html",
        "/models/shop/%2e%2e/card.html",
        "/models/shop/12/assets.extra/export.json",
        "//etc/passwd",
        "/../../etc/passwd",
        "/favicon.ico",
    ],
)
def test_nothing_but_pages_is_served(asked, path):
    assert asked(path)[0] == 404


def test_a_strangers_name_for_this_machine_is_refused(asked):
    assert asked("/", host="evil.example:80")[0] == 403
    assert asked("/", host="localhost:1234")[0] == 200
    assert asked("/", host="[::1]:1234")[0] == 200


# ------------------------------------------------------------------------------------ command line


def test_the_command_writes_the_page(workdir, capsys):
    cli.main(["board", "--workdir", str(workdir)])
    assert capsys.readouterr().out == f"board: {workdir}/board.html\n"
    assert len(cells((workdir / "board.html").read_text(), "runs")) == 4
    assert (workdir / "runs/shop/run-3/report.html").exists()  # of runs that were killed, too


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workdir", "no/such/folder"], "--workdir no/such/folder does not exist"),
        (["--serve", "0", "--output", "x"], "--output and --serve are two ways"),
        (
            ["--serve", "1", "--host", "203.0.113.7"],
            "--host 203.0.113.7: the board cannot listen on 203.0.113.7:1",
        ),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(workdir, capsys, options, sentence):
    given = options if "--workdir" in options else ["--workdir", str(workdir), *options]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["board", *given])
    assert stopped.value.code == 1
    assert f"podway: error: {sentence}" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- browser


def order(dom: str) -> list[str]:
    return [re.findall(r"run-\d", row[0])[0] for row in cells_shown(dom)]


def cells_shown(dom: str) -> list[list[str]]:
    (body,) = re.findall(r'<table id="runs">.*?<tbody>(.*?)</tbody>', dom, re.DOTALL)
    found = re.findall(r"<tr(.*?)>(.*?)</tr>", body, re.DOTALL)
    return [[plain(row)] for attributes, row in found if "hidden" not in attributes]


@pytest.mark.slow
def test_the_board_in_a_browser(workdir, tmp_path):
    path = pathlib.Path(workdir) / "board.html"
    page.write(workdir, epath.Path(path))
    dom, console = opened(path)
    assert console == []
    assert 'class="bar" hidden' not in dom
    assert "<button>state</button>" in dom
    assert len(order(dom)) == 4
    by_value, console = opened(path, "#runs=5d")
    assert console == []
    assert order(by_value)[:2] == ["run-1", "run-2"]  # those without a value come last
    assert 'aria-sort="descending"' in by_value
    assert order(opened(path, "#runs=5u")[0])[:2] == ["run-2", "run-1"]
    assert order(opened(path, "#runs=0u")[0]) == ["run-1", "run-2", "run-3", "run-4"]
    assert order(opened(path, "#runs=0u&find=STOPPED")[0]) == ["run-3"]
    assert order(opened(path, "#runs=99u")[0]) == order(dom)
