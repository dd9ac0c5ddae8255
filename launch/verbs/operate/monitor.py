"""`podway monitor`: metrics for Prometheus, and the rules and routes that go with them."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from typing import TYPE_CHECKING

from podway.framework.config.limits import Limits
from podway.framework.error import ConfigError, PodwayError, check
from podway.launch import experiments
from podway.launch.monitor.alerts.alert import RUNBOOKS, Thresholds
from podway.launch.monitor.alerts.receivers import Places, Receivers
from podway.launch.verbs.verb import Subject, Verb

if TYPE_CHECKING:
    from podway.launch.monitor import observe

PORT = 9464


@dataclasses.dataclass(frozen=True)
class Monitor:
    """What is watched, how often, and where the metrics go."""

    subject: Subject
    workdir: str = "workdir"
    """Folder of datasets/, runs/, loops/ and models/."""
    once: bool = False
    """Look once, and print the page, or write --textfile: for a CronJob. 1: something could not be
    read."""
    every: float = 60.0
    """Seconds between two passes."""
    port: int = PORT
    """Port of the page /metrics; 0: any free one."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""
    textfile: str = ""
    """In place of a port: file that each pass writes anew, NAME.prom in the folder of
    node_exporter's textfile collector."""
    log: str = ""
    """Folder of the servers' log of requests (directory of their RequestLogConfig): what it has is
    held against the dataset that the version learned from."""
    key_file: str = ""
    """File with the key by which the log's values are hashed."""
    window: float = 24.0
    """Hours of the log that are looked at."""
    most: int = 50_000
    """Requests of it that are read: the latest."""
    limits: Limits = Limits()
    """From which drift on there is a verdict, and under how many rows none."""

    def __post_init__(self):
        check(self.every > 0, f"--every is {self.every:g}; give more than 0 seconds")
        check(self.window > 0, f"--window is {self.window:g}; give more than 0 hours")
        check(self.most >= 1, f"--most is {self.most}; give 1 or more")
        check(0 <= self.port <= 65535, f"--port is {self.port}; give 0 to 65535")
        check(not self.key_file or bool(self.log), "--key-file is for --log; give both")


@dataclasses.dataclass(frozen=True)
class Rules:
    """Where the files go, from which values on somebody is told, and who."""

    output: str = ""
    """Folder to write the files to."""
    runbooks: str = RUNBOOKS
    """Where the runbooks' pages are: the URL of a folder, for the alerts' runbook_url."""
    thresholds: Thresholds = Thresholds()
    """From which values on somebody is told."""
    receivers: Receivers = Receivers()
    """Webhooks of who is told."""
    places: Places = Places()
    """Where servers, monitors and the Alertmanager listen, for the example of a config."""


def monitor(options: Monitor) -> None:
    """Looks once, or until SIGINT or SIGTERM."""
    subject = _subject(options)
    if options.once:
        _once(options, subject)
        return
    from podway.launch.monitor import observe, page

    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        latest = page.Latest()
        if not options.textfile:
            port = stack.enter_context(page.served(latest, options.host, options.port))
            print(f"monitor: http://{options.host}:{port}/metrics (Ctrl-C ends it)", flush=True)
        while True:
            start = time.monotonic()
            samples = observe.observe(subject)
            latest.replace(samples)
            if options.textfile:
                page.write(options.textfile, samples)
            time.sleep(max(0.0, options.every - (time.monotonic() - start)))


def _once(options: Monitor, subject: observe.Subject) -> None:
    from podway.launch.monitor import observe, page
    from podway.launch.monitor.alerts import catalogue

    samples = observe.observe(subject)
    if options.textfile:
        page.write(options.textfile, samples)
    else:
        sys.stdout.write(page.text(samples))
    problems = [
        each.values[-1]
        for each in samples
        if each.metric is catalogue.MONITOR_PROBLEM and each.value
    ]
    if problems:
        raise PodwayError(f"{', '.join(problems)} could not be read: see above")


def _subject(options: Monitor) -> observe.Subject:
    """What CONFIG or MODEL names. Raises ConfigError."""
    from etils import epath

    from podway.export.server import pseudonym
    from podway.launch.monitor import observe

    name, dataset = _named(options.subject, options.workdir)
    return observe.Subject(
        name=name,
        dataset=dataset,
        workdir=epath.Path(options.workdir),
        log=options.log,
        key=pseudonym.read_key(options.key_file) if options.key_file else b"",
        window=options.window * 3600,
        most=options.most,
        limits=options.limits,
    )


def _named(subject: str, workdir: str) -> tuple[str, str]:
    """The names of an experiment and its dataset."""
    if experiments.is_config(subject):
        experiment = experiments.load(subject, without_model=True)
        return experiment.name, experiment.data.name
    from podway.launch.monitor import published

    dataset = published.dataset_of(workdir, subject)
    if dataset is None:
        raise ConfigError(
            f"{subject!r} is neither a config (`podway configs` lists them, or give a Python file)"
            f" nor a model in {workdir}/models; give one of them, and its --workdir"
        )
    return subject, dataset


def rules(options: Rules) -> None:
    """Writes the files."""
    from podway.launch.monitor.alerts import rules as files

    check(bool(options.output), "--output is missing; give the folder that the files go to")
    found = files.files(options.thresholds, options.runbooks, options.receivers, options.places)
    for path in files.write(options.output, found):
        print(f"monitor: {path}")


_MORE = """

SUBJECT is a config, or the name of a published model. The page has what its newest dataset, its
runs, its rollout and its continuous training say in WORKDIR, and, with --log, what requests bring
and get. `podway monitor rules` writes the alerts that read it."""

_RULES = """

podway.rules.yml is for Prometheus, alertmanager.yml for the Alertmanager, prometheus.yml an example
of a config with the names of jobs that the rules speak of, podway.dashboard.json for Grafana."""

MONITOR = Verb(
    "metrics of data, training and requests, for Prometheus",
    Monitor,
    monitor,
    of="CONFIG|MODEL",
    more=_MORE,
    example="podway monitor movielens_sasrec --log /logs --port 9464 --workdir w",
)
RULES = Verb(
    "alerts, routes and a dashboard that go with them",
    Rules,
    rules,
    of="",
    more=_RULES,
    example="podway monitor rules --output monitoring --receivers.page https://pager.example/hook",
)
