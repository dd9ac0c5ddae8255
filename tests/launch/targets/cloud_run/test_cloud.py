import datetime

import grpc
import pytest
from google.cloud import run_v2

from podway.launch.targets.cloud_run import job, knative
from podway.launch.targets.cloud_run.target import CloudRunJob
from podway.launch.targets.error import LaunchError
from podway.launch.targets.frozen import Frozen
from tests.launch.targets.cloud_run.conftest import deployed
from tests.launch.targets.kubernetes.conftest import an_experiment
from tests.launch.targets.kubernetes.serving.conftest import DIGEST

SERVICE = "projects/project-1/locations/europe-west4/services/movielens-sasrec"
JOB = "projects/project-1/locations/europe-west4/jobs/j"
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def shares(fake) -> dict[str, int]:
    return {each.tag: each.percent for each in fake.services[SERVICE].traffic}


def test_a_new_service_and_its_canary(cloud, fake):
    said = []
    address = cloud.deploy(knative.services(deployed("rest")), said.append)
    assert address == "https://shop-x.a.run.app"
    assert fake.calls == ["ListRevisions", "GetService", "CreateService", "UpdateService"]
    assert shares(fake) == {"stable": 95, "canary": 5}
    assert len(said) == len(fake.revisions) == 2


def test_the_same_again_makes_nothing(cloud, fake):
    for _ in range(2):
        cloud.deploy(knative.services(deployed("rest")), print)
    assert fake.calls[4:] == ["ListRevisions", "GetService"]


def test_another_share_makes_no_revision(cloud, fake):
    cloud.deploy(knative.services(deployed("rest")), print)
    cloud.deploy(knative.services(deployed("rest", canary_percent=50)), print)
    assert shares(fake) == {"stable": 50, "canary": 50}
    assert len(fake.revisions) == 2
    assert fake.calls.count("UpdateService") == 2


def test_a_canary_that_ends_gets_nothing(cloud, fake):
    cloud.deploy(knative.services(deployed("rest")), print)
    cloud.deploy(knative.services(deployed("rest", canary=False)), print)
    assert shares(fake) == {"stable": 100}


def test_a_revision_that_never_serves_gets_nothing(cloud, fake):
    wanted = knative.services(deployed("rest"))
    fake.broken = {deployed("rest").revision("canary")}
    with pytest.raises(LaunchError, match="is not ready"):
        cloud.deploy(wanted, print)
    assert shares(fake) == {"stable": 100}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, r"roles/run\.developer"),
        (grpc.StatusCode.UNAUTHENTICATED, "gcloud auth"),
        (grpc.StatusCode.INVALID_ARGUMENT, "said so"),
    ],
)
def test_refusals_in_a_sentence(cloud, fake, code, message):
    fake.refusal = (code, "said so")
    with pytest.raises(LaunchError, match=message):
        cloud.deploy(knative.services(deployed("rest")), print)


# ------------------------------------------------------------------------------------ jobs


def a_job(**fields) -> job.Job:
    target = CloudRunJob(project="project-1", image=DIGEST, **fields)
    return job.Job(an_experiment(), Frozen({"experiment.json": b"{}"}), target, "gs://bucket/w")


def test_a_job_is_made_and_run(cloud, fake):
    cloud.put_job(job.job(a_job(hours=2)))
    (made,) = fake.jobs.values()
    task = made.template.template
    assert task.timeout.seconds == 7200
    assert task.max_retries == 5
    args = list(task.containers[0].args)
    assert args[0] == "run"
    assert args[1].startswith("/podway/bucket/w/launches/movielens_sasrec-")
    assert cloud.run_job(a_job().name).endswith("/executions/e1")


def test_a_job_that_runs_is_followed_and_not_begun_again(cloud, fake):
    fake.running = [run_v2.Execution(name=f"{JOB}/executions/e0")]
    assert cloud.run_job("j").endswith("/executions/e0")
    assert "RunJob" not in fake.calls


def test_an_execution_is_followed_to_its_end(cloud, fake):
    fake.executions = [
        run_v2.Execution(task_count=1, running_count=1),
        run_v2.Execution(task_count=1, retried_count=1, running_count=1),
        run_v2.Execution(task_count=1, succeeded_count=1, completion_time=NOW),
    ]
    said = []
    cloud.follow(f"{JOB}/executions/e1", said.append, interval=0)
    assert said[:2] == ["execution e1: 1 running, 0 retries", "execution e1: 1 running, 1 retries"]


def test_an_execution_that_fails_says_why(cloud, fake):
    condition = run_v2.Condition(message="The container exited with code 1")
    fake.executions = [
        run_v2.Execution(
            task_count=1, failed_count=1, completion_time=NOW, conditions=[condition], log_uri="U"
        )
    ]
    with pytest.raises(LaunchError, match=r"exited with code 1.*Its logs: U"):
        cloud.follow(f"{JOB}/executions/e1", print, interval=0)
