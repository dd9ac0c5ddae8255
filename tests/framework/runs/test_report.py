"""The page of a run."""

import json
import math

from etils import epath

from podway.framework.runs import report

EVIL = "<img src=x onerror=alert(1)>\"'"
SECONDS = {
    "step": 90.0, "compile": 5.0, "input": 1.0, "evaluate": 2.0, "checkpoint": 1.5, "restart": 0.0,
    "other": 0.5,
}  # fmt: skip


def written(folder, records, goodput=None) -> str:
    """The page of a run with these records."""
    directory = epath.Path(folder)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    if goodput is not None:
        (directory / "goodput.json").write_text(json.dumps(goodput))
    report.write(directory / "report.html", f"run {EVIL}", directory)
    return (directory / "report.html").read_text()


def test_where_the_time_went_and_every_metric(tmp_path):
    records = [{"step": step, "loss": 8 / step, "rate": 100.0} for step in (1, 2, 4)]
    goodput = {"goodput_percent": 90.0, "seconds": SECONDS, "sessions": 2, "steps_redone": 7}
    text = written(tmp_path, [*records, {"step": 4, "validation/hr@10": 0.25}], goodput)
    assert "Goodput 90.0 %" in text
    assert "100.0 s in 2 session(s); 7 steps were done again after a crash." in text
    for phase, spent in SECONDS.items():
        assert f">{phase}</td><td>{spent:.1f} s</td><td>{spent:.1f} %</td>" in text
        assert (f'title="{phase}: ' in text) == (spent > 0)
    assert text.count("<svg") == 3
    assert "2 to 8, at last 2; step 1 to 4" in text
    assert "0.25 at step 4" in text
    assert "100 to 100, at last 100; step 1 to 4" in text


def test_names_and_odd_numbers_of_a_run(tmp_path):
    records = [{"step": 1, "loss": math.nan, EVIL: 1.0}, {"step": 2, "loss": math.inf}]
    text = written(tmp_path, records)
    assert "<img" not in text
    assert "&lt;img" in text
    assert "no numbers" in text
    assert "Goodput" not in text


def test_a_run_without_metrics(tmp_path):
    assert "<svg" not in written(tmp_path, [])
