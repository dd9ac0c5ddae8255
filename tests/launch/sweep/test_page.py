"""What a sweep says: its page in a browser, its report, and the config that it writes."""

import json
import re

import markupsafe
import pytest

from podway.framework.config.sweep import Sweep
from podway.framework.error import ConfigError
from podway.launch import experiments
from podway.launch.prices import book
from podway.launch.sweep import outcome, page, space, text, written
from tests.beam.report.test_page import opened
from tests.launch.sweep import examples


@pytest.fixture(scope="module")
def content() -> dict:
    importance = {"model.width": 0.7, "trainer.crop": 0.3}
    return outcome.to_json(examples.plan(), examples.outcome()) | {"importance": importance}


def test_a_browser_draws_each_trial_in_each_picture(content, tmp_path):
    (tmp_path / "sweep.html").write_text(page.render(content))
    dom, errors = opened(tmp_path / "sweep.html")
    assert errors == []
    trials = {each["number"]: each for each in content["trials"]}
    measured = {n for n, each in trials.items() if each["state"] != "refused"}

    def drawn(part: str) -> list[int]:
        inside = re.search(rf'<div id="{part}"[^>]*>(.*?)</div>', dom, re.DOTALL)
        assert inside, part
        return [int(n) for n in re.findall(r'data-trial="(\d+)"', inside[1])]

    assert set(drawn("points")) == set(drawn("history")) == measured
    assert set(drawn("lines")) == set(trials)
    assert set(drawn("curves")) == measured
    rows = re.findall(r'<tr data-trial="(\d+)"', dom)
    assert sorted(map(int, rows)) == sorted(trials)
    assert f"{len(trials)} of {len(trials)} trials" in dom
    assert 'class="front"' in dom
    assert "70%" in dom
    assert content["winner"]["overrides"] in dom
    assert "0.04856 USD" in dom, "the price of an hour"
    assert "2026-08-20" in dom, "and its date"
    assert "src=" not in dom
    sources = {price.source for price in book.shipped().prices.values()}
    for named in sources:  # where a price was read is told, and not loaded
        dom = dom.replace(named, "")
    assert "://" not in dom.replace("http://www.w3.org/2000/svg", "")


KEYS = """
const press = (on, key, more) => on.dispatchEvent(
  new KeyboardEvent("keydown", {key, bubbles: true, ...more}));
const note = (what) => document.body.append(`[${what}]`);
const at = (id) => document.getElementById(id), said = () => at("told").textContent.split(":")[0];
const seen = () => document.querySelectorAll("#points [data-trial]").length;
const first = byKey.points.map((trial) => `trial ${trial.number}`), many = seen();
press(at("points"), "ArrowRight");
press(at("points"), "ArrowRight");
note(`second ${said() === first[1]}`);
press(at("points"), "+");
press(at("points"), "+");
note(`closer ${seen() < many && said() === first[1] && view.x[1] - view.x[0] === 0.25}`);
press(at("points"), "0");
note(`all ${seen() === many}`);
press(at("points"), "Escape");
note(`silent ${at("told").hidden}`);
const axis = document.querySelectorAll("#lines .hit")[1];
for (let i = 0; i < 12; i++) press(axis, "ArrowUp");
note(`kept ${at("count").textContent}`);
press(at("table"), "ArrowDown");
note(`passes ${passes(chosen)}`);
press(axis, "Escape");
note(`again ${at("count").textContent}`);
document.querySelector("[data-sort=quality]").click();
const heads = document.querySelectorAll("[aria-sort]").length;
note(`sorted ${document.activeElement.dataset.sort} ${heads}`);
"""


def test_what_a_mouse_does_keys_do(content, tmp_path, monkeypatch):
    source = page.templates.source  # the page lets no script run that it was not written with
    also = {"sweep.js": markupsafe.Markup(KEYS)}
    with monkeypatch.context() as patch:
        patch.setattr(page.templates, "source", lambda path: source(path) + also.get(path.name, ""))
        (tmp_path / "sweep.html").write_text(page.render(content))
    dom, errors = opened(tmp_path / "sweep.html")
    assert errors == []
    wide = sum(each["values"]["model.width"] == 32 for each in content["trials"])
    for said in ("second true", "closer true", "all true", "silent true", "passes true"):
        assert f"[{said}]" in dom
    assert 0 < wide < 24
    assert f"[kept {wide} of 24 trials]" in dom
    assert "[again 24 of 24 trials]" in dom
    assert "[sorted quality 1]" in dom


def test_the_steps_of_a_front_are_those_that_none_beats_in_what_is_seen(content, tmp_path):
    """Of more objectives than two, a trial on the front may be beaten in the two that are drawn."""
    done = [each for each in content["trials"] if each["state"] == "complete"]
    more = content | {"front": [each["number"] for each in done]}
    (tmp_path / "sweep.html").write_text(page.render(more))
    dom, errors = opened(tmp_path / "sweep.html")
    assert errors == []
    points = [(each["quantities"]["latency"], -each["quality"]) for each in done]
    best = [one for one in points if not any(a <= one[0] and b <= one[1] and (a, b) != one
                                             for a, b in points)]  # fmt: skip
    (path,) = re.findall(r'class="front" d="(.*?)"', dom)
    assert 2 < len(best) < len(points)
    assert path.count("V") == len(best) - 1


def test_text_of_a_config_does_not_leave_its_place(content, tmp_path):
    nasty = json.loads(json.dumps(content))
    nasty["trials"][6]["reason"] = "'\"></div><script>console.error(1)</script>"
    (tmp_path / "sweep.html").write_text(page.render(nasty))
    dom, errors = opened(tmp_path / "sweep.html")
    assert errors == []
    assert "console.error(1)&lt;/script&gt;" in dom


def test_the_report_says_of_each_trial_what_became_of_it(content):
    found = text.markdown(examples.outcome(), examples.plan())
    rows = [line for line in found.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == len(content["trials"])
    assert sum("size is 0.064 MB, above 0.05" in row for row in rows) == 3
    assert found.count("front, winner") == 1
    assert "wins" in found
    assert "- ndcg@5: 0.4100 [0.3800, 0.4500]" in found


def test_lines_of_the_terminal():
    trials, plan = examples.trials(), examples.plan()
    lines = {each.state: text.line(each, plan) for each in trials}
    assert re.match(r"trial \d+: ndcg@5 0\.\d{4}, latency 0\.\d+ ms \(optimizer", lines["complete"])
    assert ": pruned at step 5, ndcg@5 " in lines["pruned"]
    assert ": refused: size is 0.064 MB, above 0.05 (" in lines["refused"]


def test_overrides_are_options_of_the_command():
    values = {"model.feed_forward": 2, "trainer.pack": False, "evaluation.cutoffs": (1, 5)}
    said = outcome.overrides(values | {"trainer.ema": None, "optimizer.learning_rate": 1e-05})
    assert said == (
        "--model.feed-forward 2 --trainer.no-pack --evaluation.cutoffs 1 5 --trainer.ema None"
        " --optimizer.learning-rate 1e-05"
    )


@pytest.mark.parametrize("name", ["won.py", "won.json"])
def test_the_winner_is_written_as_a_config(name, tmp_path):
    base = experiments.load("movielens_sasrec")
    changes = {"model.width": 32, "optimizer.learning_rate": 0.002, "trainer.ema": 0.9}
    changes |= {"evaluation.cutoffs": (5,), "trainer.crop": "latest"}
    won = space.placed(base, changes)
    file = tmp_path / name
    written.check_place(str(file))
    written.write(str(file), "movielens_sasrec", won, "Won.")
    assert experiments.load(str(file)) == won
    if name.endswith(".py"):
        assert "data=" not in file.read_text(), "what is as it was is not repeated"


def test_a_place_that_cannot_be_written_is_told_before_the_sweep(tmp_path):
    with pytest.raises(ConfigError, match=r"--write x\.txt: give a file that ends in \.py"):
        written.check_place("x.txt")
    with pytest.raises(ConfigError, match=r"there is no folder .*away; make it first"):
        written.check_place(str(tmp_path / "away" / "x.py"))


def test_a_sweep_that_has_no_winner_says_why():
    refused = [each for each in examples.trials() if each.state == "refused"]
    assert outcome.why_not(refused) == "refused, the last one: size is 0.064 MB, above 0.05"
    pruned = [each for each in examples.trials() if each.state == "pruned"]
    assert outcome.why_not(pruned).startswith("all were pruned; give pruner.first")
    assert isinstance(examples.plan().sweep, Sweep)
