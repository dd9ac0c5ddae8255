"""The gateway on Cloud Run: what is rendered, what Google's API is told, what is refused."""

import dataclasses
import json
import pathlib

import pytest

from podway.framework.config.online import Access, Gateway, Online, PubsubQueue, RedisStore
from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run import check, messages
from podway.launch.targets.cloud_run.gateway import CloudRunGateway, Network, Secret
from podway.launch.targets.cloud_run.gateway_service import GatewayService, service
from podway.launch.targets.frozen import Frozen
from podway.launch.targets.kubernetes import yaml_text
from tests.launch.targets import closed
from tests.launch.targets.kubernetes.conftest import an_experiment
from tests.launch.targets.kubernetes.serving.conftest import DIGEST

GOLDEN = pathlib.Path(__file__).parents[3] / "golden" / "launch" / "cloud_run_gateway.yaml"
ONLINE = Online(
    queue=PubsubQueue(project="project-1"),
    store=RedisStore(url="redis://10.0.0.3:6379"),
    gateway=Gateway(server="models.internal:8500", access=Access(kind="token")),
)
TARGETS = {
    "rest": CloudRunGateway(
        project="project-1",
        image=DIGEST,
        cpu=2,
        service_account="s@p.iam.gserviceaccount.com",
        network=Network(subnet="online", network="shop"),
        secrets=(Secret("PODWAY_GATEWAY_TOKENS", "gateway-tokens", "3"),),
    ),
    "grpc": CloudRunGateway(
        project="project-1", image=DIGEST, protocol="grpc", network=Network(connector="c")
    ),
}


def wanted(name: str = "rest", online: Online = ONLINE, **fields) -> GatewayService:
    experiment = dataclasses.replace(an_experiment(), online=online)
    target = dataclasses.replace(TARGETS[name], **fields)
    return GatewayService(experiment, Frozen({"experiment.json": b"{}"}), target, "gs://bucket/w")


def golden() -> str:
    return yaml_text.of([service(wanted(name)) for name in TARGETS])


def test_golden():
    """`python -m tests.launch.targets.cloud_run.test_gateway` writes it anew."""
    assert golden() == GOLDEN.read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_it_is_as_googles_schemas_say_and_no_check_has_a_word(name):
    from google.cloud import run_v2

    found = wanted(name)
    assert not found.problems()
    manifest = service(found)
    assert closed.google_errors("run.v1", "Service", manifest) == []
    assert check.problems(manifest) == []
    text = run_v2.Service.to_json(
        messages.service(manifest),
        use_integers_for_enums=False,
        always_print_fields_with_no_presence=False,
    )
    assert closed.google_errors("run.v2", "GoogleCloudRunV2Service", json.loads(text)) == []


def test_the_message_says_what_the_manifest_says():
    message = messages.service(service(wanted()))
    template = message.template
    (container,) = template.containers
    assert template.scaling.min_instance_count == 1
    assert template.max_instance_request_concurrency == 160
    assert template.session_affinity
    assert not container.resources.cpu_idle, "impressions are published while nobody asks"
    (interface,) = template.vpc_access.network_interfaces
    assert (interface.network, interface.subnetwork) == ("shop", "online")
    assert template.vpc_access.egress.name == "PRIVATE_RANGES_ONLY"
    (variable,) = container.env
    key = variable.value_source.secret_key_ref
    assert (variable.name, variable.value) == ("PODWAY_GATEWAY_TOKENS", "")
    assert (key.secret, key.version) == ("gateway-tokens", "3")
    assert container.startup_probe.http_get.path == "/livez"
    assert container.liveness_probe.http_get.path == "/livez"
    assert container.readiness_probe.http_get.path == "/readyz"
    assert {
        each.http_get.port for each in (container.startup_probe, container.readiness_probe)
    } == {container.ports[0].container_port}
    message = messages.service(
        service(wanted("grpc", network=Network(connector="c", everything=True)))
    )
    assert message.template.vpc_access.connector == "c"
    assert message.template.vpc_access.egress.name == "ALL_TRAFFIC"
    (container,) = message.template.containers
    assert container.ports[0].name == "h2c"
    assert container.readiness_probe.grpc.port == 8081
    assert not container.liveness_probe.grpc.port, "what is not ready must not be started again"


def test_the_gateways_command_is_one(tmp_path):
    """What an instance runs is what `podway gateway` takes."""
    from podway.launch.cli import VERBS
    from podway.launch.verbs.online.gateway import Options

    verb, path, *arguments = wanted().arguments()
    assert verb in VERBS
    assert path.startswith("/podway/bucket/w/launches/")
    flags = arguments[::2]
    known = {f"--{each.name.replace('_', '-')}" for each in dataclasses.fields(Options)}
    assert set(flags) <= known
    assert arguments[arguments.index("--workers") + 1] == "2"


def test_it_is_made_and_the_same_again_makes_nothing(cloud, fake):
    for _ in range(2):
        cloud.deploy([service(wanted())], print)
    assert [each for each in fake.calls if "Create" in each or "Update" in each] == [
        "CreateService"
    ]
    before = set(fake.revisions)
    cloud.deploy([service(wanted(most=5))], print)
    assert len(set(fake.revisions) - before) == 1, "another size is another revision"
    assert wanted().revision != wanted(secrets=()).revision


def test_what_must_be_mended_first():
    found = dataclasses.replace(
        wanted(online=Online()), target=CloudRunGateway(), workdir="w"
    ).problems()
    said = "\n".join(found)
    for part in (
        "target.project is missing",
        "target.image is missing",
        "gs://BUCKET/FOLDER",
        "online.queue is a file of one machine",
        "online.store is a file of one machine",
        "online.gateway.server is '127.0.0.1:8500', the instance itself",
    ):
        assert part in said
    access = Access(kind="token", tokens="/etc/tokens")
    online = dataclasses.replace(ONLINE, gateway=dataclasses.replace(ONLINE.gateway, access=access))
    (said,) = wanted(online=online).problems()
    assert "PODWAY_GATEWAY_TOKENS" in said


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CloudRunGateway(concurrency=600, cpu=2), "give 1 to 500"),
        (lambda: CloudRunGateway(least=30), r"target\.least is 30"),
        (lambda: CloudRunGateway(cpu=3), "Cloud Run has 1, 2, 4, 6, 8 cores"),
        (lambda: Secret("port", "s"), "give capital letters"),
        (lambda: Secret("PORT", "s"), "none of PORT"),
        (lambda: Secret("A", "projects/p/secrets/s"), "without the project"),
        (lambda: Secret("A", "s", "newest"), "give a number, or latest"),
        (lambda: CloudRunGateway(secrets=(Secret("A", "s"),) * 2), "has A twice"),
        (lambda: Network(subnet="s", connector="c"), "give one of them"),
        (lambda: Network(everything=True), "goes with a subnet or a connector"),
        (lambda: Network(subnet="My Net"), r"target\.network\.subnet is 'My Net'"),
    ],
)
def test_fields_that_cannot_be(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


if __name__ == "__main__":
    GOLDEN.write_text(golden())
