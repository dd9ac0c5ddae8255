import pytest

from podway.launch.targets.kubernetes import status, training
from tests.launch.targets.kubernetes.conftest import a_launch, an_event

LABELS = "jobset.sigs.k8s.io/replicatedjob-name"


@pytest.fixture(scope="module")
def spec() -> dict:
    return training.job_set(a_launch(accelerator="v5e:4x4", slices=2))


def job_set(spec: dict, *, suspend=False, deleted=False, restarts=0, done=(), conditions=()):
    found = {**spec, "metadata": dict(spec["metadata"]), "spec": dict(spec["spec"])}
    found["spec"]["suspend"] = suspend
    if deleted:
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found["status"] = {
        "restarts": restarts,
        "replicatedJobsStatus": [{"name": name, "succeeded": count} for name, count in done],
        "conditions": [
            {"type": kind, "status": "True", "message": message} for kind, message in conditions
        ],
    }
    return found


def pod(role="train", index=0, phase="Running", *, code=None, said="", **more) -> dict:
    found = {
        "metadata": {
            "name": more.get("name", f"x-{role}-0-{index}"),
            "labels": {LABELS: role, "batch.kubernetes.io/job-completion-index": str(index)},
        },
        "status": {"phase": phase, "conditions": more.get("conditions", [])},
    }
    if code is not None:
        end = {"exitCode": code, "message": said}
        found["status"]["containerStatuses"] = [{"state": {"terminated": end}}]
    if "waiting" in more:
        waiting = {"reason": more["waiting"], "message": "not found"}
        found["status"]["containerStatuses"] = [{"image": "r/i", "state": {"waiting": waiting}}]
    return found


def test_a_queued_one_says_why(spec):
    reserved = {"type": "QuotaReserved", "status": "False", "message": "insufficient quota"}
    evicted = {"type": "Evicted", "status": "True", "message": "Preempted to accommodate a; path"}

    def now(*conditions: dict) -> status.Status:
        workload = {"status": {"conditions": [*conditions]}}
        return status.of(job_set(spec, suspend=True), [], (), [workload])

    assert now(reserved).phase == "queued"
    assert now(reserved).lines == ("it waits in its queue: insufficient quota",)
    assert now().lines == ("it waits in its queue",)
    assert now(reserved, evicted).lines == (
        "its queue took it out again: Preempted to accommodate a",
        "it waits in its queue: insufficient quota",
    )
    assert now(reserved, evicted | {"status": "False"}).lines == now(reserved).lines


def test_one_whose_machines_are_asked_for_says_so(spec):
    check = {"name": "podway-flex-start", "state": "Pending", "message": "no capacity yet"}
    reserved = {"type": "QuotaReserved", "status": "True", "message": "Quota reserved"}

    def lines(**changes: str) -> tuple[str, ...]:
        workload = {"status": {"conditions": [reserved], "admissionChecks": [check | changes]}}
        return status.of(job_set(spec, suspend=True), [], (), [workload]).lines

    own = "it has its quota, and waits for podway-flex-start: "
    assert lines() == (own + "no capacity yet",)
    assert lines(message="") == (own + "Pending",)
    assert lines(state="Ready") == ("it waits in its queue",)


def test_the_stage_is_the_first_that_is_not_done(spec):
    assert status.of(job_set(spec), []).stage == "data"
    assert status.of(job_set(spec, done=[("data", 1)]), []).stage == "train"
    half = job_set(spec, done=[("data", 1), ("train", 1)])
    assert status.of(half, []).stage == "train", "one of two slices"
    assert status.of(job_set(spec, done=[("data", 1), ("train", 2)]), []).stage == "export"


def test_pods_that_wait_say_why_once(spec):
    unscheduled = {"reason": "Unschedulable", "status": "False", "message": "0/4 nodes"}
    pods = [pod(index=at, phase="Pending", conditions=[unscheduled]) for at in range(8)]
    now = status.of(job_set(spec, done=[("data", 1)]), pods)
    assert (now.phase, now.running, now.wanted) == ("waiting", 0, 8)
    assert now.lines == ("8 pods: no machine for it yet: 0/4 nodes",)


def test_an_image_that_is_not_there(spec):
    now = status.of(job_set(spec), [pod("data", phase="Pending", waiting="ImagePullBackOff")])
    assert "r/i cannot be pulled" in now.lines[0]


@pytest.mark.parametrize(
    ("waiting", "said"),
    [("CreateContainerConfigError", "its machine cannot start it: not found"), ("", "")],
)
def test_a_container_that_cannot_be_started(spec, waiting, said):
    held = pod("data", phase="Pending", waiting=waiting or "ContainerCreating")
    assert status.of(job_set(spec), [held]).lines == ((said,) if said else ())


def test_a_volume_that_cannot_be_mounted(spec):
    """As GKE says it of a bucket without rights."""
    name = f"{spec['metadata']['name']}-data-0-0-abcde"
    said = "MountVolume.SetUp failed for volume bucket-0: PermissionDenied: Error 403"
    event = an_event("Pod", name, "FailedMount", said)
    held = pod("data", phase="Pending", waiting="ContainerCreating", name=name)
    now = status.of(job_set(spec), [held], [event])
    assert now.lines == (f"its machine cannot start it: {said}",)


def test_a_job_that_cannot_be_made(spec):
    name = f"{spec['metadata']['name']}-data-0"
    event = an_event("Job", name, "FailedCreate", "only Never")
    assert status.of(job_set(spec), [], [event]).lines == (f"Job {name}: only Never",)
    pods = [pod("data")]
    assert status.of(job_set(spec), pods, [event]).lines == (), "it is over"


def test_what_jobset_expects_is_not_told(spec):
    said = "leader pod not yet scheduled, not creating follower pod. this is an expected, transient"
    event = an_event("Job", f"{spec['metadata']['name']}-data-0", "FailedCreate", f"{said} error")
    assert status.of(job_set(spec), [], [event]).lines == ()


def test_running(spec):
    pods = [pod(index=at) for at in range(8)]
    now = status.of(job_set(spec, done=[("data", 1)], restarts=2), pods)
    assert str(now) == "running, train: 8 of 8 pods run, 2 restarts"
    assert not now.over
    assert str(status.of(job_set(spec, restarts=1), [pod("data")])).endswith("run, 1 restart")
    complete = job_set(spec, restarts=1, conditions=[("Completed", "")])
    assert str(status.of(complete, [])) == "complete, 1 restart"


def test_failed_says_the_cause_first(spec):
    pods = [
        pod(index=0, phase="Failed", code=75, said="podway: error: process 1 is dead"),
        pod(index=1, phase="Failed", code=1, said="x\n podway: error: no such column 'a'\n"),
    ]
    failed = job_set(spec, done=[("data", 1)], conditions=[("Failed", "it failed")])
    now = status.of(failed, pods)
    assert now.over
    assert "x-train-0-1 ended with 1" in now.lines[0]
    assert "no such column 'a'" in now.lines[0]
    assert "x-train-0-0 ended with 75" in now.lines[1]
    assert now.lines[-1] == "it failed"
    failed["status"]["conditions"][0]["reason"] = "FailJobSetFailurePolicyAction"
    assert status.of(failed, pods).lines == now.lines[:-1], "the pods say more"
    assert status.of(failed, []).lines == ("it failed",)


def test_one_that_was_taken_away(spec):
    condition = {"type": "DisruptionTarget", "status": "True", "message": "node shutdown"}
    lost = pod(phase="Failed", code=137, conditions=[condition])
    now = status.of(job_set(spec, done=[("data", 1)]), [lost])
    assert "taken away: node shutdown" in now.lines[0]


def test_complete_and_stopping(spec):
    assert status.of(job_set(spec, conditions=[("Completed", "")]), []).phase == "complete"
    assert status.of(job_set(spec, deleted=True), []).phase == "stopping"


@pytest.mark.parametrize(
    ("text", "said"),
    [("", ""), ("a\nb\n", "b"), ("podway: error: x\npodway: saved", "x")],
)
def test_what_a_process_said_last(text, said):
    assert status.error(text) == said
