"""From events in files to the report."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.configs import movielens_sasrec
from podway.framework.config.online import Arm, Gateway, Online, Trial
from podway.framework.error import ConfigError
from podway.launch.verbs.online.experiment import Options
from podway.launch.verbs.online.experiment import report as run
from podway.online.error import OnlineError
from podway.online.events.event import Event, encode
from podway.online.experiments.report import events, report, users

DAY = 86_400.0
START = 1_700_000_000.0
TRIAL = Trial("shelf", (Arm("a"), Arm("b")))


def exposed(user, arm, time=START, trial="shelf"):
    return Event("exposure", user, "", time, fields={"trial": trial, "arm": arm})


def clicked(user, time, **fields):
    return Event("click", user, "i1", time, fields=fields)


def lines(path, *found):
    path.write_bytes(b"\n".join(map(encode, found)) + b"\n")
    return str(path)


def test_outcomes_count_from_the_first_exposure_on_and_before_the_trial_as_the_covariate(tmp_path):
    place = lines(
        tmp_path / "events.jsonl",
        exposed("u", "a", START + DAY),
        exposed("u", "a", START + 2 * DAY),
        exposed("v", "b", START),
        exposed("w", "b", START, trial="other"),
        clicked("u", START - DAY),  # before the trial
        clicked("u", START - 40 * DAY),  # too long before
        clicked("u", START + 1),  # in the trial, before this user saw it
        clicked("u", START + DAY + 1),
        clicked("u", START + 3 * DAY),
        clicked("v", START + 9 * DAY),
        clicked("w", START + 1),
    )
    seen = events.read([place], "shelf", ["click"])
    found = users.users(seen, ["a", "b"], days=5)
    assert dict(zip(found.arm.tolist(), found.after.tolist(), strict=True)) == {0: 2.0, 1: 0.0}
    assert found.before is not None
    assert found.before.tolist() == [1.0, 0.0]
    one = users.users(seen, ["a", "b"], any_outcome=True)
    assert one.after.tolist() == [1.0, 1.0]


def test_who_saw_two_arms_or_one_of_another_config_is_left_out_and_counted(tmp_path):
    place = lines(
        tmp_path / "e.jsonl",
        exposed("u", "a"),
        exposed("u", "b"),
        exposed("v", "old"),
        exposed("w", "a"),
    )
    found = users.users(events.read([place], "shelf", ["click"]), ["a", "b"])
    assert (len(found.arm), found.crossed, found.others) == (1, 1, {"old": 1})
    assert found.before is None


def test_impressions_are_exposures_too_and_an_event_counts_once(tmp_path):
    shown = Event("impression", "u", "", START, id="r1", fields={"trials": {"shelf": "b"}})
    click = clicked("u", START + 1, seconds=12.5)
    place = lines(tmp_path / "e.jsonl", shown, click, click, shown, clicked("u", START + 2))
    seen = events.read([place], "shelf", ["click"], "seconds")
    assert seen.arms == {"u": {"b": START}}
    assert sorted(value for _, _, value in seen.outcomes) == [0.0, 12.5]
    assert (seen.events, seen.repeated) == (3, 2)


@pytest.mark.parametrize("unknown", [False, True])
def test_landed_parquet_says_the_same_as_lines(tmp_path, unknown):
    found = [exposed("u", "a"), exposed("v", "b"), clicked("u", START + 1.5)]
    rows = {
        "id": [e.id for e in found],
        "type": [e.type for e in found],
        "user": [e.user for e in found],
        "time": pa.array([int(e.time * 1e6) for e in found], pa.timestamp("us", "UTC")),
    }
    if unknown:
        rows["unknown"] = [json.dumps(dict(e.fields)) if e.fields else None for e in found]
    else:
        rows |= {name: [e.fields.get(name) for e in found] for name in ("trial", "arm")}
    folder = tmp_path / "landed" / "date=2023-11-14" / "hour=22"
    folder.mkdir(parents=True)
    pq.write_table(pa.table(rows), folder / "events-00000-00000000000000000000.parquet")
    place = lines(tmp_path / "e.jsonl", *found)
    landed = events.read([str(tmp_path / "landed")], "shelf", ["click"])
    assert landed == events.read([place], "shelf", ["click"])
    assert landed.arms == {"u": {"a": START}, "v": {"b": START}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "line 1 is no JSON object"),
        ('{"id": "1", "type": "click", "time": 1}', "line 1 has no id and user"),
        ('{"id": "1", "type": "click", "user": "u", "time": "now"}', "line 1 has the time 'now'"),
        (
            '{"id": "1", "type": "click", "user": "u", "time": 1, "n": "x"}',
            "line 1: n is 'x', which is no finite number",
        ),
    ],
)
def test_a_bad_event_is_named(tmp_path, text, said):
    (tmp_path / "e.jsonl").write_text(text + "\n")
    with pytest.raises(OnlineError, match=said):
        events.read([str(tmp_path / "e.jsonl")], "shelf", ["click"], "n")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(OnlineError, match=r"there is no .*/none"):
        events.read([str(tmp_path / "none")], "shelf", ["click"])
    with pytest.raises(OnlineError, match="holds no"):
        events.read([str(tmp_path)], "shelf", ["click"])


def experiment(tmp_path, arms=(400, 400)):
    """Events of a trial in which b has .5 clicks a user more."""
    random = np.random.default_rng(1)
    found = []
    for arm, (name, count) in enumerate(zip("ab", arms, strict=True)):
        for number in range(count):
            user = f"{name}{number}"
            found.append(exposed(user, name))
            liking = random.gamma(1.0, 2.0)
            for start, rate in ((START - 7 * DAY, liking), (START, liking + 0.5 * arm)):
                found += [
                    clicked(user, start + 1 + random.random() * DAY)
                    for _ in range(random.poisson(rate))
                ]
    return lines(tmp_path / "events.jsonl", *found)


def configured(tmp_path, *trials, **options):
    online = Online(gateway=Gateway(trials=trials))
    experiment = dataclasses.replace(movielens_sasrec.experiment(), online=online)
    return Options(experiment, str(tmp_path), **options)


def test_the_command_prints_the_difference_with_its_interval(tmp_path, capsys):
    place = experiment(tmp_path)
    run(configured(tmp_path, TRIAL, events=(place,)))
    printed = capsys.readouterr().out
    assert "shelf: click a user, since 2023-11-14T22:13:20+00:00" in printed
    assert "(control)" in printed
    assert "CUPED: what users did before took away" in printed
    run(configured(tmp_path, TRIAL, events=(place,), json=True))
    made = json.loads(capsys.readouterr().out)
    beside = made["rows"][1]["beside"]
    assert made["valid"]
    assert beside["low"] < 0.5 < beside["high"]
    assert beside["low"] > 0, "a difference that is seen"
    assert beside["variance_kept"] < 0.7


def test_users_who_are_not_divided_as_they_should_be_void_the_report(tmp_path, capsys):
    place = experiment(tmp_path, arms=(400, 280))
    with pytest.raises(OnlineError, match="not divided by the arms' weights"):
        run(configured(tmp_path, TRIAL, events=(place,)))
    assert "SAMPLE RATIO MISMATCH" in capsys.readouterr().out


def test_a_trial_that_is_not_there(tmp_path):
    place = lines(tmp_path / "e.jsonl", exposed("u", "a", trial="other"))
    with pytest.raises(ConfigError, match=r"there is no trial 'x' in .*: shelf"):
        run(configured(tmp_path, TRIAL, trial="x", events=(place,)))
    with pytest.raises(ConfigError, match=r"--trial is missing; .* are: none"):
        run(configured(tmp_path, events=(place,)))
    with pytest.raises(OnlineError, match="no user has seen an arm of the trial shelf"):
        run(configured(tmp_path, TRIAL, events=(place,)))


def test_the_report_of_several_arms_reads_all_together(tmp_path):
    place = lines(
        tmp_path / "e.jsonl",
        *(exposed(f"{arm}{n}", arm) for arm in "abc" for n in range(50)),
        *(clicked(f"b{n}", START + 1) for n in range(18)),
        *(clicked(f"a{n}", START + 1) for n in range(8)),
    )
    trial = Trial("shelf", (Arm("a"), Arm("b"), Arm("c")))
    seen = events.read([place], "shelf", ["click"])
    made = report.report(trial, users.users(seen, ["a", "b", "c"]), seen, "clicks")
    alone = [row.beside.p for row in made.rows if row.beside]
    raised = [row.p for row in made.rows if row.beside]
    assert min(raised) == pytest.approx(2 * min(alone))
    assert max(raised) == pytest.approx(max(max(alone), 2 * min(alone)))
    assert "without CUPED" in report.text(made)
