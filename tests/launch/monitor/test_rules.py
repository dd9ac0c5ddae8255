"""The files for Prometheus and Alertmanager, by their own tools."""

import json
import pathlib
import re

import pytest
import yaml

from podway.framework.error import ConfigError
from podway.launch.monitor.alerts import catalogue, dashboard, families, rules
from podway.launch.monitor.alerts.alert import Thresholds
from podway.launch.monitor.alerts.receivers import Places, Receivers
from tests.launch.monitor.cases import CASES, Story
from tests.launch.monitor.programs import program, said

ROOT = pathlib.Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "monitor"
EVERY = families.every(Thresholds())
RUNBOOKS = "https://runbooks.example"
FILES = rules.files(Thresholds(), "docs/runbooks", Receivers(), Places())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("rules")
    rules.write(made, rules.files(Thresholds(), RUNBOOKS, Receivers(), Places()))
    return made


@pytest.mark.parametrize("name", FILES)
def test_golden(name):
    """`python -m tests.launch.monitor.test_rules` writes them anew."""
    assert FILES[name] == (GOLDEN / name).read_text()


def test_promtool_takes_rules_and_config(folder):
    code, text = said(program("promtool"), "check", "config", folder / rules.SCRAPES)
    assert code == 0, text
    assert f"{len(EVERY)} rules found" in text


def test_amtool_takes_the_config_and_routes_by_severity(folder):
    file = f"--config.file={folder / rules.ROUTES}"
    code, text = said(program("amtool"), "check-config", folder / rules.ROUTES)
    assert code == 0, text
    for severity, receiver in (("critical", "page"), ("warning", "ticket")):
        labels = ("alertname=PodwayDataStale", f"severity={severity}")
        code, text = said(program("amtool"), "config", "routes", "test", file, *labels)
        assert code == 0
        assert text.split()[0] == receiver


def test_every_alert_has_a_case():
    assert [each.name for each in EVERY] == list(CASES)


def _test(name: str, story: Story) -> dict:
    alert = next(each for each in EVERY if each.name == name)
    made: dict = {"eval_time": f"{story.at}m", "alertname": name}
    if story.labels is not None:
        found = alert.rule(RUNBOOKS)
        said = {
            label: re.sub(
                r"{{ \$labels\.(\w+) }}",
                lambda match: story.labels.get(match.group(1), ""),  # type: ignore[union-attr]
                text,
            )
            for label, text in found["annotations"].items()
        }
        labels = {**story.labels, "severity": alert.severity, "family": alert.family}
        made["exp_alerts"] = [{"exp_labels": labels, "exp_annotations": said}]
    series = [{"series": name, "values": values} for name, values in story.series.items()]
    return {"interval": "1m", "input_series": series, "alert_rule_test": [made]}


def test_each_alert_fires_in_its_story_and_not_in_the_other(folder):
    """By promtool's own simulation of time; labels and annotations are compared as a whole."""
    tests = [
        _test(name, story) for name, case in CASES.items() for story in (case.fires, case.silent)
    ]
    file = folder / "tests.yml"
    file.write_text(json.dumps({"rule_files": [rules.RULES], "tests": tests}))
    code, text = said(program("promtool"), "test", "rules", file)
    assert code == 0, text


def test_a_story_that_is_told_wrong_is_found_out(folder):
    """The tool does compare: the silent story, told as if it fired, fails."""
    case = CASES["PodwayDataStale"]
    wrong = Story(case.silent.series, case.silent.at, case.fires.labels)
    file = folder / "wrong.yml"
    test = _test("PodwayDataStale", wrong)
    file.write_text(json.dumps({"rule_files": [rules.RULES], "tests": [test]}))
    assert said(program("promtool"), "test", "rules", file)[0] == 1


# --------------------------------------------------------------------------- what they speak of


def known() -> set[str]:
    """Names that our servers export, with those of histograms' parts."""
    from podway.export.server import metrics

    ours = {metric.name for metric in catalogue.METRICS} | {"up"}
    for kind in metrics.KINDS:
        parts = ("_bucket", "_sum", "_count") if kind.limits else ("",)
        ours |= {kind.name + part for part in parts}
    return ours


NAME = re.compile(r"(?<![\w:.\"/-])(:[a-z_:]+|podway_[a-z_]+|up)\b(?=[{\[) ]|$)")


@pytest.mark.parametrize("alert", EVERY, ids=lambda each: each.name)
def test_an_alert_speaks_of_what_is_exported(alert):
    found = set(NAME.findall(alert.expression))
    assert found
    assert found <= known()


def test_the_dashboard_speaks_of_what_is_exported():
    queries = dashboard.dashboard().queries()
    assert len(queries) > 30
    for query in queries:
        found = set(NAME.findall(query))
        assert found, query
        assert found <= known(), query


def test_the_dashboard_is_well_laid_out():
    made = json.loads(dashboard.text())
    taken = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in made["panels"]]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("alert", EVERY, ids=lambda each: each.name)
def test_each_alert_has_a_runbook(alert):
    page = (ROOT / "docs" / "runbooks" / f"{alert.page}.md").read_text()
    assert page.startswith(f"# {alert.name}\n")
    for head in ("**What it means.**", "**Look.**", "**Do.**"):
        assert head in page, head
    rule = alert.rule(RUNBOOKS)
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}/{alert.page}.md"


def test_no_runbook_is_of_no_alert():
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {alert.page for alert in EVERY}


def test_the_page_on_monitoring_lists_all_metrics_and_alerts():
    page = (ROOT / "docs" / "monitoring.md").read_text()
    named = set(re.findall(r"`(podway_[a-z_]+)`", page))
    assert {metric.name for metric in catalogue.METRICS} <= named
    assert named <= known() | {"podway_serving_best_score"}
    assert {alert.name for alert in EVERY} == set(re.findall(r"\[(Podway\w+)\]", page))


# ----------------------------------------------------------------------------------- thresholds


def test_thresholds_are_in_the_expressions_and_the_summaries():
    found = families.every(Thresholds(stale_days=1, error_percent=7, rows=9))
    by_name = {each.name: each for each in found}
    assert by_name["PodwayDataStale"].expression.endswith("> 86400")
    assert "than 1 days" in by_name["PodwayDataStale"].summary
    assert by_name["PodwayServingFails"].expression.endswith("> 0.07")
    assert by_name["PodwayLiveFallback"].expression.endswith(">= 9")


@pytest.mark.parametrize(
    ("field", "value"),
    [("stale_days", 0), ("error_percent", 101), ("rows", -1), ("p99_milliseconds", float("nan"))],
)
def test_a_threshold_that_cannot_be_is_said(field, value):
    with pytest.raises(ConfigError, match=rf"thresholds\.{field} is .*; give more than 0"):
        Thresholds(**{field: value})


def test_a_receiver_is_a_url():
    with pytest.raises(ConfigError, match=r"receivers\.page is 'me@example'; give the URL"):
        Receivers(page="me@example")


def test_rules_are_one_definition():
    content = yaml.safe_load(FILES[rules.RULES])
    found = [rule["alert"] for group in content["groups"] for rule in group["rules"]]
    assert found == [each.name for each in EVERY]


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (GOLDEN / name).write_text(content)
