import json

import kubernetes_validate
import pytest

from podway.framework import exit_codes
from podway.framework.error import ConfigError
from podway.launch.targets import names
from podway.launch.targets.kubernetes import check, handed, pods, retrain, training
from podway.launch.targets.kubernetes.schedule import Schedule
from tests.launch.targets.kubernetes.conftest import a_launch

TARGETS = {"tpu": {"accelerator": "v5e:4x4", "queue": "research"}, "cpu": {"accelerator": "cpu:1"}}


def made(name: str, **schedule) -> dict[str, dict]:
    objects = retrain.objects(a_launch(**TARGETS[name]), Schedule(**schedule))
    return {f"{each['kind']} {each['metadata']['name']}": each for each in objects}


def of_kind(objects: dict[str, dict], kind: str) -> list[dict]:
    return [each for each in objects.values() if each["kind"] == kind]


@pytest.mark.parametrize("name", TARGETS)
def test_objects_are_valid_and_fit_together(name):
    objects = list(made(name).values())
    assert not check.problems(objects)
    for each in objects:
        kubernetes_validate.validate(each, "1.35", strict=True)


def test_the_clock():
    (job,) = of_kind(made("tpu", schedule="30 4 * * 1", time_zone="Europe/Berlin"), "CronJob")
    spec = job["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("30 4 * * 1", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 3600


def test_its_account_creates_job_sets_and_nothing_else():
    (role,) = of_kind(made("tpu"), "Role")
    writing = [
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list")
    ]
    assert writing == [("jobsets", "create")]
    assert not any("*" in each for rule in role["rules"] for each in rule.values())
    assert "secrets" not in json.dumps(role)


@pytest.mark.parametrize("queue", ["", "research"])
def test_a_machine_alone_waits_in_the_queue_too(queue):
    launch = a_launch(**TARGETS["cpu"], queue=queue)
    job = retrain.objects(launch, Schedule())[-1]["spec"]["jobTemplate"]
    labels = job.get("metadata", {}).get("labels", {})
    assert labels == ({training.QUEUE: queue} if queue else {})


def test_what_is_launched_is_what_was_rendered():
    launch = a_launch(**TARGETS["tpu"])
    (manifest,) = [
        each for each in of_kind(made("tpu"), "ConfigMap") if retrain.FILE in each["data"]
    ]
    found = json.loads(manifest["data"][retrain.FILE])
    assert found == training.alone(launch)
    (job,) = found["spec"]["replicatedJobs"]
    whole = training.job_set(launch)["spec"]["replicatedJobs"]
    assert job["template"] == next(each for each in whole if each["name"] == "train")["template"]
    assert "dependsOn" not in job, "the cycle has built the dataset"


def test_each_time_has_a_name_that_pods_can_have():
    launch = a_launch(**TARGETS["tpu"])
    name = f"{retrain.name(launch)}-29400000"  # as the CronJob names its Job: minutes since 1970
    assert names.is_legal(name, 40)
    options = ["--data.version", "abc"]
    found = handed.renamed(training.alone(launch), name, 1_700_000_000, options)
    assert not check.problems([found, training.config_map(launch)])
    assert found["metadata"]["annotations"][pods.SUBMITTED] == "1700000000"
    for job in found["spec"]["replicatedJobs"]:
        template = job["template"]["spec"]["template"]
        assert template["metadata"]["labels"]["podway.dev/launch"] == name
        env = template["spec"]["containers"][0]["env"]
        assert {"name": "PODWAY_SUBMITTED", "value": "1700000000"} in env
        assert template["spec"]["containers"][0]["args"][-2:] == options


def test_a_cycle_hands_the_training_to_the_job_set_that_it_finds():
    (job,) = of_kind(made("tpu"), "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = container["args"]
    assert words[0] == "loop"
    assert words[words.index("--launch-name") + 1] == "$(JOB_NAME)"
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "launch"]
    assert words[words.index("--job-set") + 1] == f"{mount['mountPath']}/{retrain.FILE}"
    (volume,) = [each for each in pod["volumes"] if each["name"] == "launch"]
    there = [each for each in of_kind(made("tpu"), "ConfigMap") if retrain.FILE in each["data"]]
    assert [each["metadata"]["name"] for each in there] == [volume["configMap"]["name"]]


def test_its_pod_alone_has_a_token():
    """Training runs as the same account, which has the bucket's rights."""
    objects = made("tpu")
    (job,) = of_kind(objects, "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is True
    (binding,) = of_kind(objects, "RoleBinding")
    assert [each["name"] for each in binding["subjects"]] == [pod["serviceAccountName"]]
    train = training.alone(a_launch(**TARGETS["tpu"]))["spec"]["replicatedJobs"][0]
    inside = train["template"]["spec"]["template"]["spec"]
    assert inside["serviceAccountName"] == pod["serviceAccountName"]
    assert inside["automountServiceAccountToken"] is False


def test_a_cycle_ends_at_once_where_a_restart_would_not_help():
    (job,) = of_kind(made("tpu"), "CronJob")
    hopeless, disrupted = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert hopeless["onExitCodes"]["values"] == sorted(exit_codes.HOPELESS)
    assert disrupted["action"] == "Ignore"


def test_one_cpu_machine_does_it_itself_and_has_no_rights():
    objects = made("cpu")
    assert not of_kind(objects, "Role")
    (job,) = of_kind(objects, "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["args"][::4] == ["loop", "--once"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "nightly"}, r"schedule\.schedule"),
        ({"time_zone": "CET+1"}, r"schedule\.time_zone"),
        ({"deadline_seconds": 5}, r"schedule\.deadline_seconds"),
        ({"history": -1}, r"schedule\.history"),
    ],
)
def test_clocks_that_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        Schedule(**fields)
