"""Launches that share a quota wait for each other, in the real Kueue's queue."""

import contextlib
import io
import json
import os
import pathlib
import unittest.mock
from collections.abc import Callable

import pytest
import yaml

from podway.framework import exit_codes
from podway.launch import cli
from tests.cluster import queueing
from tests.cluster.control_plane import USER
from tests.cluster.live import jobsets, launches
from tests.cluster.live.test_training import losses, saved, sessions
from tests.cluster.nodes import Pool

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(1800)]

SPACE = "podway"
QUOTA = "insufficient unused quota for google.com/tpu in flavor v5e-2x4"
STAND_IN = """#!/bin/sh
# podway VERB EXPERIMENT --workdir FOLDER …
itself=$(dirname "$0")/podway-itself
[ "$1" = run ] && exit 0
[ -e "$4/short" ] || exec "$itself" "$@"
[ "$1" = train ] || exit 0
trap 'exit 42' TERM
while [ ! -s "$4/end" ]; do sleep 0.1; done
exit $(cat "$4/end")
"""
"""Export is left out; where the workdir says `short`, training is what waits for a file, and ends
on SIGTERM as ours does."""


@pytest.fixture(scope="module")
def work(plane, hosts) -> pathlib.Path:
    """A volume with a config and a target; a queue for one of the two slices that there are."""
    queueing.start(plane)
    folder = launches.workplace(hosts, 2)
    podway = hosts.commands / "podway"
    podway.rename(hosts.commands / "podway-itself")
    podway.write_text(STAND_IN)
    podway.chmod(0o755)
    quotas = ["--target.quotas", "v5e:2x4:spot=8", "v5e:2x4:flex-start=8", "v5e:2x4=8"]
    quotas += ["--target.name", "research"]
    made = run(plane, "launch", "queue", *quotas, "--target.namespaces", SPACE, "--yes")
    assert "made ClusterQueue research" in made
    return folder


def variables(plane, user: str = "") -> dict[str, str]:
    """By which `podway` finds the cluster, as a user."""
    config = plane.folder / (f"kubeconfig-{user}" if user else "kubeconfig")
    return {"KUBECONFIG": str(config), "XDG_STATE_HOME": str(plane.folder / "state")}


def run(plane, *arguments: str, code: int = exit_codes.COMPLETE, user: str = "") -> str:
    """What `podway` prints; or, where it is to end with another code, its error."""
    out, err, ended = io.StringIO(), io.StringIO(), exit_codes.COMPLETE
    with (
        unittest.mock.patch.dict(os.environ, variables(plane, user)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main(list(arguments))
        except SystemExit as end:
            ended = int(end.code or 0)
    assert ended == code, err.getvalue()[-2000:]
    return err.getvalue() if code else out.getvalue()


def launch(work: pathlib.Path, name: str, *options: str, short: bool = True) -> list[str]:
    """The command of a launch whose workdir has its name."""
    (work / name).mkdir()
    if short:
        (work / name / "short").touch()
    words = ["launch", str(work / "target.py"), str(work / "shop.py"), "--launch-name", name]
    words += [] if "--target.queue" in options else ["--target.queue", "research"]
    words += ["--workdir", str(work / name), "--skip-preflight", "--yes", "--mesh.fsdp", "1"]
    return [*words, *options]


def end(work: pathlib.Path, name: str, code: int = 0) -> None:
    """Lets a short training end."""
    (work / name / "end").write_text(str(code))


def job_set(plane, name: str) -> dict:
    return plane.client.get(jobsets.path(name, SPACE)) or {}


def suspended(plane, name: str) -> bool:
    return job_set(plane, name).get("spec", {}).get("suspend", False)


def pods(plane, name: str) -> list[dict]:
    """Those that are made, of any stage."""
    label = f"jobset.sigs.k8s.io/jobset-name%3D{name}"
    return plane.client.items(f"/api/v1/namespaces/{SPACE}/pods?labelSelector={label}")


def training(plane, name: str) -> Callable[[], bool]:
    """Asks whether both hosts of its slice train."""

    def ask() -> bool:
        found = [
            pod["metadata"]["name"]
            for pod in pods(plane, name)
            if pod["status"].get("phase") == "Running"
            and not pod["metadata"].get("deletionTimestamp")
        ]
        return sum(each.startswith(f"{name}-train-") for each in found) == 2

    return ask


def listed(plane, name: str, user: str = "") -> dict:
    """The row of `podway jobs`."""
    rows = json.loads(run(plane, "jobs", "--json", user=user))
    return next(row for row in rows if row["launch"] == name)


def said(plane, name: str, words: str, user: str = "") -> dict:
    """That row, once it says so."""
    row = listed(plane, name, user)
    return row if words in row["says"] else {}


def everything(plane) -> set[str]:
    """The objects that launches make."""
    kinds = (f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{SPACE}/jobsets",)
    kinds += (f"/api/v1/namespaces/{SPACE}/configmaps", "/api/v1/namespaces")
    return {each["metadata"]["uid"] for kind in kinds for each in plane.client.items(kind)}


def test_what_does_not_fit_beside_the_first_waits_and_runs_after_it(plane, work):
    run(plane, *launch(work, "first"), "--detach")
    plane.wait("the first", training(plane, "first"))
    follower = launches.podway(plane, *launch(work, "second"))
    plane.wait("the second", lambda: suspended(plane, "second"))
    row = plane.wait("a verdict", lambda: said(plane, "second", QUOTA))
    assert row["phase"] == "queued"
    assert row["says"].startswith("it waits in its queue: couldn't assign flavors to pod set train")
    assert f"second: {row['says']}" in run(plane, "jobs")
    assert suspended(plane, "second")
    assert pods(plane, "second") == []
    assert listed(plane, "first")["phase"] == "running"
    assert training(plane, "first")(), "who waits takes nothing away"

    end(work, "first")
    plane.wait("the second", training(plane, "second"))
    assert jobsets.ended_of(job_set(plane, "first")) == "Completed"
    end(work, "second")
    told, _ = follower.communicate(timeout=120)
    assert follower.returncode == exit_codes.COMPLETE, told
    assert row["says"] in told
    assert "untolerated taint {podway.dev/spot" in told, "it is not put on spot machines"
    assert told.index("launch second: queued") < told.index("launch second: complete")


def test_a_higher_priority_takes_the_quota_and_the_lower_one_goes_on_later(plane, work):
    """The lower one is a real training: it saves, ends with 42, and loses no step."""
    steps = 120
    options = ["--target.priority", "podway-low", "--trainer.log-every", "1"]
    options += ["--trainer.steps", str(steps), "--detach"]
    run(plane, *launch(work, "low", *options, short=False))
    objects = ["--target.priority", "podway-high", "--dry-run", "--output", str(work / "objects")]
    run(plane, *launch(work, "high", *objects))
    workdir = work / "low"
    plane.wait("steps", lambda: len(losses(workdir)) > 20, seconds=600)
    for path in sorted((work / "objects").glob("*.yaml")):
        status, answer = plane.client.apply(yaml.safe_load(path.read_text()))
        assert status in (200, 201), answer
    plane.wait("the high one", training(plane, "high"), seconds=300)
    assert suspended(plane, "low")
    row = listed(plane, "low")
    assert row["phase"] == "queued"
    assert row["says"].startswith(
        "its queue took it out again: Preempted to accommodate a workload"
    )
    at, _ = losses(workdir)[-1]
    assert 20 < at < steps
    assert saved(workdir) == at, "it saves what is done"

    end(work, "high")
    ended = plane.wait("the end", lambda: jobsets.ended_of(job_set(plane, "low")), seconds=600)
    assert ended == "Completed"
    assert [step for step, _ in losses(workdir)] == list(range(1, steps + 1))
    assert sessions(workdir) == [0, at]
    assert job_set(plane, "low")["status"]["restarts"] == 0, "which is not a failure of it"


NEVER = {
    "no such queue": (
        ["--target.queue", "shop"],
        "the namespace 'podway' has no LocalQueue of that name (there are: research)",
    ),
    "no such machines": (
        ["--target.accelerator", "v5e:4x4"],
        "topology=4x4; its quotas are of v5e-2x4-spot: 8, v5e-2x4-flex-start: 8, v5e-2x4: 8",
    ),
    "no quota at all": (
        ["--target.accelerator", "h100:8"],
        "no quota for nvidia.com/gpu, only for cpu, google.com/tpu, memory",
    ),
    "more than there is": (
        ["--target.slices", "2"],
        "needs 16 google.com/tpu at once, more than its quota (v5e-2x4: 8)",
    ),
    "more machines than there are": (
        ["--target.resources.cpu", "40"],
        "needs 80 cpu at once, more than its quota (machines: 64)",
    ),
    "no such priority": (
        ["--target.priority", "urgent"],
        "there are podway-high, podway-low, podway-normal, system-cluster-critical",
    ),
}
"""What would wait for ever → a launch of it, and what it is told."""


@pytest.mark.parametrize("case", NEVER)
def test_what_would_wait_for_ever_is_refused_and_nothing_is_made(plane, work, case):
    options, sentence = NEVER[case]
    before = everything(plane)
    words = launch(work, case.replace(" ", "-"), *options, "--detach")
    told = run(plane, *words, code=exit_codes.REFUSED)
    (line,) = [line for line in told.splitlines() if "podway: error:" in line]
    assert sentence in line
    assert everything(plane) == before


def test_machines_are_asked_for_when_it_is_their_turn(plane, hosts, work):
    """Flex start; the test answers in place of GKE's autoscaler."""
    run(plane, *launch(work, "flexible", "--target.capacity", "flex-start", "--detach"))
    path = f"/apis/autoscaling.x-k8s.io/v1/namespaces/{SPACE}/provisioningrequests"
    (request,) = plane.wait("a request for machines", lambda: plane.client.items(path))
    assert request["spec"]["provisioningClassName"] == "queued-provisioning.gke.io"
    assert [each["count"] for each in request["spec"]["podSets"]] == [2]
    words = "it has its quota, and waits for podway-flex-start"
    assert plane.wait("a verdict", lambda: said(plane, "flexible", words))["phase"] == "queued"
    assert suspended(plane, "flexible")

    pool = Pool("flexible", 2, "2x4")
    hosts.add(pool)
    for node in pool.nodes:
        labels = {"cloud.google.com/gke-flex-start": "true"}
        plane.client.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}})
    made = {"type": "Provisioned", "status": "True", "reason": "Made", "message": "they are there"}
    since = {"lastTransitionTime": request["metadata"]["creationTimestamp"]}
    answer = {"status": {"conditions": [made | since]}}
    plane.client.patch(f"{path}/{request['metadata']['name']}/status", answer)
    plane.wait("the training", training(plane, "flexible"))
    trainers = [
        pod
        for pod in pods(plane, "flexible")
        if pod["metadata"]["name"].startswith("flexible-train-")
    ]
    assert sorted(pod["spec"]["nodeName"] for pod in trainers) == pool.nodes
    end(work, "flexible")
    ended = plane.wait("the end", lambda: jobsets.ended_of(job_set(plane, "flexible")))
    assert ended == "Completed"


def test_a_machine_alone_that_the_clock_starts_waits_too(plane, hosts, work):
    """A Job, where launches are JobSets; the test makes it as its CronJob would."""
    (work / "clock").mkdir()
    words = ["launch", "retrain", str(work / "shop.py"), "--target-file", str(work / "target.py")]
    words += ["--target.accelerator", "cpu:1", "--target.queue", "research", "--dry-run"]
    words += ["--mesh.fsdp", "1"]
    run(plane, *words, "--workdir", str(work / "clock"), "--output", str(work / "clock/objects"))
    made = [yaml.safe_load(path.read_text()) for path in (work / "clock/objects").iterdir()]
    for each in made:
        status, answer = plane.client.apply(each)
        assert status in (200, 201), answer
    (template,) = [each["spec"]["jobTemplate"] for each in made if each["kind"] == "CronJob"]
    metadata = template["metadata"] | {"name": "alone", "namespace": SPACE}
    plane.client.made({"apiVersion": "batch/v1", "kind": "Job", **template, "metadata": metadata})
    path = f"/apis/batch/v1/namespaces/{SPACE}/jobs/alone"

    def ended() -> dict[str, int]:
        status = plane.client.get(path)["status"]
        return {end: status[end] for end in ("succeeded", "failed") if status.get(end)}

    assert "succeeded" in plane.wait("its end", ended, seconds=600), hosts.logs()
    (workload,) = [
        each
        for each in plane.client.items(f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{SPACE}/workloads")
        if each["metadata"]["name"].startswith("job-alone-")
    ]
    assert workload["status"]["admission"]["clusterQueue"] == "research"


def test_who_may_not_read_quotas_is_told_by_the_queue(plane, work):
    """A user with rights in the namespace alone."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    subject = {"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": "all", "apiGroup": "rbac.authorization.k8s.io"}
    for kind, fields in (
        ("Role", {"rules": rules}),
        ("RoleBinding", {"subjects": [subject], "roleRef": reference}),
    ):
        about = {"name": "all", "namespace": SPACE}
        made = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": about}
        plane.client.made(made | fields)
    run(plane, *launch(work, "large", "--target.slices", "2", "--detach"), user=USER)
    words = "insufficient quota for google.com/tpu in flavor v5e-2x4,"
    row = plane.wait("a verdict", lambda: said(plane, "large", words, USER))
    assert row["phase"] == "queued"
    assert "maximum capacity (8)" in row["says"]
    assert "stopped" in run(plane, "stop", "large", user=USER)
    left = plane.client.items(f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{SPACE}/workloads")
    assert not [each for each in left if each["metadata"]["name"].startswith("jobset-large-")]
