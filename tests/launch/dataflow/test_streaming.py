"""The lander as a Dataflow job: what is shown, and what Google is asked for."""

import socket

import pytest

from podway.launch import cli
from tests.launch import dataflow_service

SUBSCRIPTION = "projects/some-project/subscriptions/podway-lander"
DEAD = "projects/some-project/topics/events-dead"
NAMES = ["--subscription", SUBSCRIPTION, "--dead-topic", DEAD]


@pytest.fixture
def dry_run(monkeypatch, capsys):
    """What a dry run prints, where there is no network."""

    def refuse(*_, **__) -> None:
        raise AssertionError("a dry run called the network")

    def run(*options: str) -> str:
        with monkeypatch.context() as patch:
            for name in ("create_connection", "getaddrinfo"):
                patch.setattr(socket, name, refuse)
            verb = ["launch", "dataflow", "movielens_sasrec", "--streaming", "--dry-run"]
            cli.main([*verb, *options])
        return capsys.readouterr().out

    return run


def test_a_dry_run_shows_the_job_without_a_network(dry_run):
    options = ["--project", "p", "--image", "example/podway:1", "--workdir", "gs://bucket/w"]
    shown = dry_run(*options, *NAMES, "--online.lander.seconds", "30")
    for text in (
        f"  {SUBSCRIPTION}\n  → gs://bucket/w/online/movielens_sasrec/landed\n  dead → {DEAD}\n",
        "\n  messages\n",
        "\n  hours\n  panes\n  land\n",
        "--streaming=True",
        "--job_name=podway-movielens-sasrec-lander",
        "--temp_location=gs://bucket/w/beam",
        "nothing is missing",
    ):
        assert text in shown, text


def test_a_dry_run_says_what_is_missing(dry_run):
    shown = dry_run()
    for name in ("project", "image", "subscription", "dead-topic"):
        assert f"--{name} is missing" in shown
    given = ["--project", "p", "--image", "i", *NAMES]
    assert "--workdir puts the shards at workdir/online/movielens_sasrec/landed" in dry_run(*given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--subscription", "events"], "--subscription is 'events'; give projects/PROJECT/subscr"),
        (["--dead-topic", SUBSCRIPTION], f"--dead-topic is '{SUBSCRIPTION}'; give projects/PROJ"),
        (["--shards", "0"], "--shards is 0; give 1 or more"),
        (["--template", "gs://b/t"], "--streaming has no template; leave --template"),
    ],
)
def test_what_cannot_be_is_refused(capsys, options, message):
    with pytest.raises(SystemExit):
        cli.main(["launch", "dataflow", "movielens_sasrec", "--streaming", *options])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_job_that_is_submitted_does_not_end_and_reads_the_subscription(tmp_path, beam_store):
    from apache_beam.portability.api import beam_runner_api_pb2

    bucket = beam_store.bucket()
    verb = ["podway.launch.cli", "launch", "dataflow", "movielens_sasrec", "--streaming", *NAMES]
    with dataflow_service.running() as service:
        options = ["--project", "p", "--image", "example/podway:1", "--endpoint", service.url]
        account = service.credentials(tmp_path)
        done = beam_store.run("-m", *verb, *options, "--workdir", f"{bucket}/w", **account)
        assert done.returncode == 0, done.stderr
        assert f"{bucket}/w/online/movielens_sasrec/landed" in done.stdout
        (job,) = service.jobs
        assert (job["type"], service.polls) == (2, 0)  # JOB_TYPE_STREAMING
        staged = service.pipeline().removeprefix("gs://")
        name, _, blob = staged.partition("/")
        content = beam_store.client().bucket(name).blob(blob).download_as_bytes()
    transforms = beam_runner_api_pb2.Pipeline.FromString(content).components.transforms.values()
    urns = {each.spec.urn for each in transforms}
    assert {"beam:transform:pubsub_read:v1", "beam:transform:pubsub_write:v1"} <= urns
    told = b"".join(each.spec.payload for each in transforms)
    assert SUBSCRIPTION.encode() in told
    assert DEAD.encode() in told
