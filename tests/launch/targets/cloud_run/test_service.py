import copy
import dataclasses
import pathlib

import pytest

from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run import check, knative, messages
from podway.launch.targets.cloud_run.target import CloudRun
from podway.launch.targets.kubernetes import yaml_text
from podway.launch.targets.published import GIB
from tests.launch.targets import closed
from tests.launch.targets.cloud_run.conftest import TARGETS, deployed

GOLDEN = pathlib.Path(__file__).parents[3] / "golden" / "launch" / "cloud_run.yaml"


def golden() -> str:
    return yaml_text.of([*knative.services(deployed("grpc")), *knative.services(deployed("gpu"))])


def test_golden():
    """`python -m tests.launch.targets.cloud_run.test_service` writes it anew."""
    assert golden() == GOLDEN.read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_services_are_as_googles_schema_says_and_no_check_has_a_word(name):
    found = deployed(name)
    assert not found.problems()
    for each in knative.services(found):
        assert closed.google_errors("run.v1", "Service", each) == []
        assert check.problems(each) == []


def test_the_closed_schema_knows_no_other_field():
    (each,) = knative.services(deployed("rest", canary=False))
    each["spec"]["template"]["spec"]["containerConcurency"] = 1
    assert "containerConcurency" in " ".join(closed.google_errors("run.v1", "Service", each))


@pytest.mark.parametrize("name", TARGETS)
def test_messages_say_what_the_manifest_says(name):
    """Field by field, in the names of version 2."""
    manifest = knative.services(deployed(name))[-1]
    message = messages.service(manifest)
    template, spec = message.template, manifest["spec"]["template"]["spec"]
    notes = manifest["spec"]["template"]["metadata"]["annotations"]
    (theirs,), (ours,) = template.containers, spec["containers"]
    assert template.revision == manifest["spec"]["template"]["metadata"]["name"]
    assert template.max_instance_request_concurrency == spec["containerConcurrency"]
    assert template.timeout.seconds == spec["timeoutSeconds"]
    assert template.service_account == spec.get("serviceAccountName", "")
    assert template.scaling.min_instance_count == int(notes["autoscaling.knative.dev/minScale"])
    assert template.scaling.max_instance_count == int(notes["autoscaling.knative.dev/maxScale"])
    assert (theirs.image, list(theirs.command)) == (ours["image"], ours["command"])
    assert list(theirs.args) == ours["args"]
    assert {each.name: each.value for each in theirs.env} == {
        each["name"]: each["value"] for each in ours["env"]
    }
    assert dict(theirs.resources.limits) == ours["resources"]["limits"]
    assert theirs.resources.cpu_idle == (name != "gpu")
    assert theirs.ports[0].name == ours["ports"][0]["name"]
    assert theirs.ports[0].container_port == ours["ports"][0]["containerPort"]
    assert theirs.startup_probe.failure_threshold == ours["startupProbe"]["failureThreshold"]
    if name == "grpc":
        assert theirs.startup_probe.grpc.port == ours["startupProbe"]["grpc"]["port"]
    else:
        assert theirs.startup_probe.http_get.path == ours["startupProbe"]["httpGet"]["path"]
    assert template.volumes[0].gcs.bucket == "bucket"
    assert template.volumes[0].gcs.read_only
    assert template.node_selector.accelerator == ("nvidia-l4" if name == "gpu" else "")
    assert [(each.revision, each.percent, each.tag) for each in message.traffic] == [
        (each["revisionName"], each["percent"], each["tag"]) for each in manifest["spec"]["traffic"]
    ]


@pytest.mark.parametrize("name", TARGETS)
def test_messages_are_as_googles_schema_says(name):
    """Of version 2, whose JSON has a schema of its own."""
    import json

    from google.cloud import run_v2

    message = messages.service(knative.services(deployed(name))[-1])
    text = run_v2.Service.to_json(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    assert closed.google_errors("run.v2", "GoogleCloudRunV2Service", json.loads(text)) == []


# ----------------------------------------------------------------------------------- sizes


def test_requests_at_once_are_two_batches():
    """One that runs, one that waits; where requests are not batched, a few for each core."""
    assert deployed("grpc").concurrency("stable") == 128
    assert deployed("rest").concurrency("stable") == 8
    assert deployed("rest", concurrency=20).concurrency("stable") == 20


def test_memory_is_what_the_model_takes_in_steps_that_there_are():
    assert deployed("rest").memory("stable") == "5120Mi"
    assert deployed("gpu").memory("stable") == "16384Mi"
    large = dataclasses.replace(deployed("rest").tracks["stable"], bytes=2 * GIB)
    found = dataclasses.replace(deployed("rest"), tracks={"stable": large})
    assert "give target.cpu 4" in found.problems()[0]
    larger = dataclasses.replace(large, bytes=20 * GIB)
    found = dataclasses.replace(deployed("rest"), tracks={"stable": larger})
    assert "podway deploy kubernetes" in found.problems()[0]


def test_a_revisions_name_is_its_content():
    first = deployed("rest")
    assert first.revision("stable") == deployed("rest").revision("stable")
    assert first.revision("stable") == deployed("rest", canary_percent=50).revision("stable")
    assert first.revision("stable") != deployed("rest", most=3).revision("stable")
    assert first.revision("stable") != first.revision("canary")


def test_a_canary_is_made_after_the_stable_revision_and_gets_its_share():
    first, second = knative.services(deployed("rest", canary_percent=20))
    assert [each["percent"] for each in first["spec"]["traffic"]] == [100]
    assert [each["percent"] for each in second["spec"]["traffic"]] == [80, 20]


def test_grpc_takes_a_port_of_that_name():
    (service,) = knative.services(deployed("grpc", canary=False))
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "h2c", "containerPort": 8500}]


# -------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"project": "My Project"}, r"target\.project"),
        ({"region": "europe"}, r"target\.region"),
        ({"image": "serving:2"}, r"target\.image"),
        ({"cpu": 3}, "1, 2, 4, 6, 8 cores"),
        ({"cpu": 2, "memory": "16Gi"}, r"give 0.5Gi to 8Gi, or target\.cpu 4"),
        ({"cpu": 8, "memory": "1Gi"}, "give 4Gi to 32Gi"),
        ({"memory": "4GB"}, r"target\.memory"),
        ({"gpu": "nvidia-l4"}, "4 cores or more"),
        ({"gpu": "nvidia-l4", "cpu": 4, "memory": "8Gi"}, "16Gi or more"),
        ({"zonal_redundancy": True}, r"target\.gpu"),
        ({"least": 11}, r"target\.least"),
        ({"least": 0, "most": 0}, r"target\.most"),
        ({"concurrency": 1001}, r"target\.concurrency"),
        ({"timeout_seconds": 4000}, r"target\.timeout_seconds"),
        ({"startup_seconds": 600}, "waits no longer than 240 s"),
        ({"canary_percent": -1}, r"target\.canary_percent"),
    ],
)
def test_fields_that_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        CloudRun(**fields)


def test_what_must_be_mended_first():
    found = dataclasses.replace(deployed("rest"), target=CloudRun(), workdir="w")
    said = " ".join(found.problems())
    for part in ("target.project", "target.image", "gs://BUCKET/FOLDER"):
        assert part in said


def _template(service: dict) -> dict:
    return service["spec"]["template"]


def _container(service: dict) -> dict:
    return _template(service)["spec"]["containers"][0]


BROKEN = {
    "unknown annotation": lambda service: _template(service)["metadata"]["annotations"].update(
        {"run.googleapis.com/cpu-throtling": "false"}
    ),
    "add to 90 percent": lambda service: service["spec"]["traffic"][0].update(percent=90),
    "containerConcurrency": lambda service: _template(service)["spec"].update(
        containerConcurrency=2000
    ),
    "minScale is above": lambda service: _template(service)["metadata"]["annotations"].update(
        {"autoscaling.knative.dev/minScale": "11"}
    ),
    "one port": lambda service: _container(service)["ports"].append(
        {"name": "h2c", "containerPort": 8500}
    ),
    "give http1, or h2c": lambda service: _container(service)["ports"][0].update(name="rest"),
    "another port than its own": lambda service: _container(service)["startupProbe"][
        "httpGet"
    ].update(port=8500),
    "goes with a port called h2c": lambda service: _container(service)["ports"][0].update(
        name="h2c"
    ),
    "Cloud Run waits for 240": lambda service: _container(service)["startupProbe"].update(
        failureThreshold=60
    ),
    "is above its periodSeconds": lambda service: _container(service)["startupProbe"].update(
        timeoutSeconds=60
    ),
    "3; Cloud Run has": lambda service: _container(service)["resources"]["limits"].update(cpu="3"),
    "there is no limit": lambda service: _container(service)["resources"]["limits"].update(
        {"ephemeral-storage": "1Gi"}
    ),
    "a GPU takes a limit": lambda service: _container(service)["resources"]["limits"].update(
        {"nvidia.com/gpu": "1"}
    ),
    "no volume is called": lambda service: _template(service)["spec"]["volumes"].clear(),
    "not named by its digest": lambda service: _container(service).update(image="x:1"),
    "looks like a secret": lambda service: _container(service)["env"].append(
        {"name": "API_TOKEN", "value": "x"}
    ),
    "more than 49": lambda service: service["metadata"].update(name="a" * 50),
    "revision's name": lambda service: _template(service)["metadata"].update(name="other-v1"),
}
"""What a check says → how a service is broken so that it does."""


@pytest.mark.parametrize("said", BROKEN)
def test_each_check_catches_its_error(said):
    (service,) = copy.deepcopy(knative.services(deployed("rest", canary=False)))
    BROKEN[said](service)
    assert any(said in problem for problem in check.problems(service)), check.problems(service)


if __name__ == "__main__":
    GOLDEN.write_text(golden())
