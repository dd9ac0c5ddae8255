"""Names, tails and addresses: what needs no database."""

import dataclasses
import json
import math

import pytest
from etils import epath

from podway.framework.config import Mlflow, Tracking
from podway.framework.error import ConfigError, PodwayError
from podway.framework.runs import run
from podway.launch.tracking import address, names, session
from podway.launch.tracking.tail import Tail
from tests.framework.experiments import walks


def test_metrics_have_names_that_mlflow_takes_and_stay_apart():
    ours = [
        "loss",
        "validation/ndcg@10",
        "ndcg@5 [history ≤ 8]",
        "ndcg@5 [history > 8]",
        "ndcg@5 [history < 8]",
        "ndcg@5 [history 9–11]",
        "ndcg@5 [target tail]",
        "../up",
        "/a//b/",
        "…",
    ]
    theirs = [names.metric(name) for name in ours]
    assert theirs[:4] == [
        "loss",
        "validation/ndcg_at_10",
        "ndcg_at_5/history up to 8",
        "ndcg_at_5/history over 8",
    ]
    assert len(set(theirs)) == len(ours)
    validation = pytest.importorskip("mlflow.utils.validation")
    for name in theirs:
        validation._validate_metric_name(name)


def test_a_config_is_flat_and_whole():
    flat = names.parameters({"a": {"b": [1, 2]}, "c": [{"d": "x"}, {"d": None}], "e": {}})
    assert flat == {"a.b": "[1, 2]", "c.0.d": "x", "c.1.d": "null", "e": "{}"}
    assert len(names.parameters({"a": "x" * 9000})["a"]) == names.PARAMETER


def test_a_tail_reads_on_and_begins_anew_in_a_file_that_was_written_anew(tmp_path):
    file = tmp_path / "metrics.jsonl"
    tail = Tail(epath.Path(tmp_path), 1000)
    assert tail.points() == ()

    def write(*records, mode="a", cut=False):
        with file.open(mode) as stream:
            stream.writelines(json.dumps(each) + "\n" for each in records)
            stream.write('{"step": 9, "lo' if cut else "")
        return [(each.name, each.step, each.value) for each in tail.points()]

    assert write({"step": 1, "loss": 2.0}, cut=True) == [("loss", 1, 2.0)]
    assert tail.points() == ()
    file.write_text(file.read_text().replace('{"step": 9, "lo', ""))
    assert write({"step": 2, "loss": None, "word": "no"})[0][:2] == ("loss", 2)
    found = write({"step": 1, "loss": 2.0}, {"step": 2, "loss": 7.0}, mode="w")
    assert found == [("loss", 1, 2.0), ("loss", 2, 7.0)]
    assert write({"step": 3, "loss": 1.0}) == [("loss", 3, 1.0)]


def test_what_is_not_finite_is_told_as_what_it_is(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": null}\n')
    (point,) = Tail(epath.Path(tmp_path), 1000).points()
    assert math.isnan(point.value)


def test_tracking_changes_no_version():
    plain = walks()
    tracked = dataclasses.replace(plain, tracking=Mlflow("sqlite:///x.db", "else"))
    assert run.identity(plain) == run.identity(tracked)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Tracking("file:///x"), "tracking.uri is 'file:///x'; give sqlite:///FILE"),
        (lambda: Tracking("sqlite://x.db"), "with three slashes"),
        (lambda: Tracking("postgresql://me:secret@host/db"), "has a password"),
        (lambda: Tracking("oracle://me:secret@host/db"), "tracking.uri is 'oracle://…/db'"),
        (lambda: Mlflow().address(), "set tracking.uri, or MLFLOW_TRACKING_URI"),
    ],
)
def test_a_wrong_address_is_refused_and_no_password_is_shown(make, says, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError) as caught:
        make()
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_environment_may_say_where_with_a_password_that_nothing_shows(monkeypatch, tmp_path):
    monkeypatch.setattr(address, "has", lambda package: package != "psycopg2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host:5/db")
    found = address.of(Mlflow())
    assert found is not None
    assert found.uri == "postgresql+psycopg://me:secret@host:5/db"
    assert str(found) == "postgresql+psycopg://me@host:5/db"
    monkeypatch.chdir(tmp_path)
    relative = address.of(Tracking("sqlite:///a/b.db"))
    assert relative is not None
    assert relative.uri == f"sqlite:///{tmp_path}/a/b.db"
    assert address.of(Tracking()) is None


def test_what_is_not_installed_is_said_before_anything_is_trained(monkeypatch, tmp_path):
    monkeypatch.setattr(address, "has", lambda package: package != "mlflow")
    experiment = dataclasses.replace(walks(), tracking=Mlflow("sqlite:///x.db"))
    refused = pytest.raises(PodwayError, match=r"pip install 'podway\[tracking\]'")
    with refused, session.session(experiment, tmp_path):
        raise AssertionError


def test_without_tracking_no_process_is_started(monkeypatch, tmp_path):
    monkeypatch.setattr(session.subprocess, "Popen", lambda *_: pytest.fail("started"))
    with session.session(walks(), tmp_path) as teller, teller.following(tmp_path):
        teller.tell("evaluation", tmp_path)
