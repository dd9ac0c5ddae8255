"""Servers, monitors, Prometheus, Alertmanager and a webhook, all of them real.

What is watched is made to be wrong in one way for each family of alerts; then each expression of
the dashboard is asked for data.
"""

import contextlib
import dataclasses
import http.server
import json
import pathlib
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
import yaml
from etils import epath

from podway.framework.artifact import write_atomically
from podway.framework.config import Rollout
from podway.launch.loop import record
from podway.launch.loop.record import Cycle
from podway.launch.monitor import data
from podway.launch.monitor.alerts import dashboard, families, rules
from podway.launch.monitor.alerts.alert import Thresholds
from podway.launch.monitor.alerts.receivers import Places, Receivers
from podway.online.rollout import state as states
from podway.online.rollout import store
from tests.export.server.conftest import free_port
from tests.launch.monitor import programs

pytestmark = pytest.mark.slow

LIMITS = Thresholds(monitor_minutes=0.01)
"""A monitor that looks every few seconds is stale most of the time, and just after a look it is
not."""
EXPECTED = {
    "PodwayDataStale": "ticket",
    "PodwayDataRejects": "ticket",
    "PodwayDataDrift": "ticket",
    "PodwayTrainingFailed": "ticket",
    "PodwayServingLoadFails": "page",
    "PodwayLiveDrift": "ticket",
    "PodwayLiveUnknown": "ticket",
    "PodwayLiveFallback": "ticket",
    "PodwayRolloutReturned": "ticket",
    "PodwayLoopStopped": "ticket",
    "PodwayMonitorStale": "ticket",
}


@dataclasses.dataclass
class Told:
    """What a webhook was told: alert → the path, and the alert itself."""

    found: dict[str, tuple[str, dict]] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def webhook(port: int) -> Iterator[Told]:
    told = Told()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for each in body["alerts"]:
                told.found[each["labels"]["alertname"]] = (self.path.strip("/"), each)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def spoil(home: pathlib.Path) -> None:
    """A newer dataset that moved and lost rows, a run that failed, a version that is none, a
    rollout that went back and a cycle that was stopped."""
    (directory, _), *_ = data.versions(epath.Path(home), "shop")
    newer = pathlib.Path(directory.parent / "ffffffffffff-ffffffff")
    shutil.copytree(directory, newer)
    manifest = json.loads((newer / "manifest.json").read_text())
    manifest |= {"version": newer.name, "created": "2099-01-01T00:00:00+00:00"}
    manifest["details"]["report"]["rejected"] = {"time is no time": 200}
    write_atomically(newer / "manifest.json", json.dumps(manifest))
    content = json.loads((newer / "statistics.json").read_text())
    item = content["splits"]["train"]["item"]
    more = 1000 * item["top"][0][2]
    item["top"][0][2] += more
    item["count"] += more
    write_atomically(newer / "statistics.json", json.dumps(content))
    (run,) = (home / "runs" / "shop").glob("[0-9a-f]*-*")
    (run / "manifest.json").unlink()
    write_atomically(run / "ended.json", json.dumps({"problem": "the loss of step 7 is nan"}))
    begun = states.begin("shop", 2, 1, Rollout(), states.now())
    back = states.back(begun, "it is slow", states.now())
    store.change(home / "models" / "shop", states.forward(back, states.now()))
    cycles = record.folder("shop", home)
    record.write(cycles, Cycle(1, record.now(), "new files", ()).over("served", "version 1"))
    record.write(cycles, Cycle(2, record.now(), "new files", ()).over("stopped", "it drifted"))
    broken = home / "models" / "shop" / "99"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no model")


@contextlib.contextmanager
def serving(folder: pathlib.Path, home: pathlib.Path, port: int) -> Iterator[pathlib.Path]:
    """The embedded server, as a process; gives the folder of its log of requests."""
    folder.mkdir()
    models, log = folder / "models.config", folder / "requests"
    models.write_text(
        f'model_config_list {{ config {{ name: "shop" base_path: "{home}/models/shop"'
        ' model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    (folder / "log.config").write_text(f'directory: "{log}" sampling_rate: 1')
    command = [
        *(sys.executable, "-m", "podway.export.server"),
        f"--model_config_file={models}",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
        f"--request_log_config_file={folder / 'log.config'}",
        f"--rest_api_port={port}",
        "--port=0",
        "--max_num_load_retries=1000",
        "--load_retry_interval_micros=1000000",
    ]
    ready = f"http://127.0.0.1:{port}/v1/models/shop/versions/1/metadata"
    with programs.running(folder, *command, ready=ready):
        yield log


def ask_for_lists(port: int, rows: list[list[str]]) -> None:
    body = json.dumps({"instances": [{"history": row} for row in rows]}).encode()
    address = f"http://127.0.0.1:{port}/v1/models/shop/versions/1:predict"
    with urllib.request.urlopen(urllib.request.Request(address, body), timeout=60) as response:
        assert response.status == 200


def configs(folder: pathlib.Path, ports: dict[str, int]) -> None:
    """The files of `podway monitor rules`, with everything looked at each second."""
    rest, watched = (f"127.0.0.1:{ports[name]}" for name in ("rest", "monitor"))
    hook = f"http://127.0.0.1:{ports['webhook']}"
    made = rules.files(
        LIMITS,
        "https://runbooks.example",
        Receivers(f"{hook}/page", f"{hook}/ticket"),
        Places((rest,), (watched,), f"127.0.0.1:{ports['alertmanager']}"),
    )
    quick = {
        rules.RULES: {"interval: 30s": "interval: 1s"},
        rules.ROUTES: {
            "group_wait: 10s": "group_wait: 1s",
            "group_interval: 1m": "group_interval: 1s",
        },
        rules.SCRAPES: {"interval: 15s": "interval: 1s", "interval: 30s": "interval: 1s"},
    }
    for name, changes in quick.items():
        text = made[name]
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        made = {**made, name: text}
    rules.write(folder, made)


@dataclasses.dataclass(frozen=True)
class World:
    """Everything that runs."""

    prometheus: str
    alertmanager: str
    told: Told


@pytest.fixture(scope="module")
def world(shop, folder, tmp_path_factory) -> Iterator[World]:
    for name in ("prometheus", "prometheus-alertmanager"):
        programs.program(name)
    root = tmp_path_factory.mktemp("watched")
    home = root / "w"
    for name in ("datasets", "runs", "models"):
        shutil.copytree(folder / "w" / name, home / name)
    spoil(home)
    ports = {
        name: free_port() for name in ("rest", "monitor", "prometheus", "alertmanager", "webhook")
    }
    configs(root / "configs", ports)
    with contextlib.ExitStack() as stack:
        told = stack.enter_context(webhook(ports["webhook"]))
        log = stack.enter_context(serving(root / "server", home, ports["rest"]))
        for _ in range(10):
            ask_for_lists(ports["rest"], [["i1", "unheard-of"], ["unheard-of", ""]] * 30)
        watch = [sys.executable, "-m", "podway.launch.cli", "monitor", "shop"]
        watch += ["--workdir", str(home), "--log", str(log), "--port", str(ports["monitor"])]
        watch += ["--every", "3", "--limits.rows", "40"]
        page = f"http://127.0.0.1:{ports['monitor']}/metrics"
        stack.enter_context(programs.running(root / "monitor", *watch, ready=page))
        am = stack.enter_context(
            programs.alertmanager(
                root / "am", root / "configs" / rules.ROUTES, ports["alertmanager"]
            )
        )
        prometheus = stack.enter_context(
            programs.prometheus(
                root / "prometheus", root / "configs" / rules.SCRAPES, ports["prometheus"]
            )
        )
        stop = threading.Event()

        def keep_asking() -> None:
            while not stop.wait(0.5):
                ask_for_lists(ports["rest"], [["i1", "i2"], ["unheard-of", ""]])

        thread = threading.Thread(target=keep_asking, daemon=True)
        thread.start()
        try:
            # Some seconds pass before Prometheus has found the Alertmanager.
            programs.wait(
                lambda: programs.ask(prometheus, "alertmanagers")["activeAlertmanagers"],
                lambda: (root / "prometheus" / "log").read_text(),
            )
            yield World(prometheus, am, told)
        finally:
            stop.set()
            thread.join(60)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_alert_reaches_who_is_to_be_told(world, name):
    def firing() -> str:
        found = programs.ask(world.prometheus, "alerts")["alerts"]
        return f"firing: {sorted({each['labels']['alertname'] for each in found})}"

    path, alert = programs.wait(lambda: world.told.found.get(name), firing)
    assert path == EXPECTED[name]
    known = {each.name: each for each in families.every(LIMITS)}[name]
    labels, annotations = alert["labels"], alert["annotations"]
    assert (labels["severity"], labels["family"]) == (known.severity, known.family)
    assert annotations["runbook_url"] == f"https://runbooks.example/{known.page}.md"
    assert "{{" not in annotations["summary"]
    assert "<no value>" not in annotations["summary"]


def test_there_is_one_for_each_family():
    found = {each.family for each in families.every(LIMITS) if each.name in EXPECTED}
    assert found == families.by_family(LIMITS).keys()


@pytest.mark.parametrize("query", dashboard.dashboard().queries())
def test_each_expression_of_the_dashboard_returns_data(world, query):
    def data_of() -> list:
        return programs.ask(world.prometheus, "query", query=query)["result"]

    found = programs.wait(data_of, lambda: query, 60)
    assert all(sample["value"][1] != "" for sample in found)


def test_what_is_fine_raises_no_alarm(world):
    time.sleep(3)
    found = programs.ask(world.prometheus, "alerts")["alerts"]
    names = {each["labels"]["alertname"] for each in found if each["state"] == "firing"}
    assert names | {"PodwayMonitorStale"} == set(EXPECTED)


def test_prometheus_has_all_rules_and_finds_no_fault(world):
    groups = programs.ask(world.prometheus, "rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(families.every(LIMITS))
    assert {rule["health"] for rule in found} == {"ok"}
    content = yaml.safe_load(rules.files(LIMITS, "", Receivers(), Places())[rules.RULES])
    assert [group["name"] for group in groups] == sorted(g["name"] for g in content["groups"])
