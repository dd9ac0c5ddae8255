import copy
import dataclasses
import pathlib
import re

import kubernetes_validate
import pytest

from podway.export.server import metrics
from podway.framework.error import ConfigError
from podway.launch.monitor.alerts import serving
from podway.launch.targets import server
from podway.launch.targets.kubernetes import yaml_text
from podway.launch.targets.kubernetes.serving import check, watch
from podway.launch.targets.kubernetes.serving.config import Gateway, Scaling, Serving
from podway.launch.targets.kubernetes.serving.objects import objects
from tests.launch.targets.kubernetes.serving.conftest import DIGEST, ROWS, TARGETS, deployed

GOLDEN = pathlib.Path(__file__).parents[4] / "golden" / "launch"
GOLDENS = ("serving", "serving_any")
_GKE = {"HealthCheckPolicy", "GCPBackendPolicy"}
CUSTOM = _GKE | {
    *("HTTPRoute", "GRPCRoute"),
    *("PodMonitor", "PrometheusRule", "PodMonitoring", "Rules"),
}
"""Kinds that are not Kubernetes' own; tests/cluster/ holds them against their definitions."""


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name):
    """`python -m tests.launch.targets.kubernetes.serving.test_objects` writes them anew."""
    assert yaml_text.of(objects(deployed(name))) == (GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_no_check_has_a_word(name):
    found = deployed(name)
    assert not check.problems(objects(found))
    assert not found.problems()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_no_custom_resource_is_valid(name):
    for each in objects(deployed(name)):
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, "1.35", strict=True)


# ---------------------------------------------------------------------------------- metrics


def test_metrics_that_are_named_are_on_the_servers_page():
    """The page of a server that has not answered yet names all the metrics that it will have."""
    page = metrics.Metrics().page()
    there = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    for name in GOLDENS:
        made = objects(deployed(name))
        rules = _one(made, "PrometheusRule" if name == "serving_any" else "Rules")
        named = {
            metric
            for group in rules["spec"]["groups"]
            for rule in group["rules"]
            for metric in watch.metrics(rule["expr"])
        }
        assert named == {serving.REQUESTS, serving.LATENCY, serving.LOADS}
        assert named <= there


def test_alerts_count_by_labels_that_the_metrics_have():
    kinds = {kind.name: {*kind.labels, "le", "namespace", "pod"} for kind in metrics.KINDS}
    for group in _one(objects(deployed("serving_any")), "PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            for name, inside in re.findall(r"(:[\w:]+?)(?:_bucket)?\{([^}]*)\}", rule["expr"]):
                labels = set(re.findall(r"(\w+)(?:!=|=~|!~|=)", inside))
                assert labels <= kinds[name], (rule, labels)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("serving", "prometheus.googleapis.com|podway_serving_requests_per_second|gauge"),
        ("serving_any", "podway_serving_requests_per_second"),
    ],
)
def test_the_autoscaler_takes_what_is_recorded(name, metric):
    made = objects(deployed(name))
    _, pods = _one(made, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert pods["pods"]["metric"]["name"] == metric


# --------------------------------------------------------------------------------- servers


def test_the_images_own_entrypoint_is_not_asked_and_flags_are_known():
    container = _container(objects(deployed("serving")))
    assert container["command"] == ["tensorflow_model_server"]
    assert "--xla_cpu_compilation_enabled=true" in container["args"]
    assert not [flag for flag in container["args"] if "host" in flag]  # it knows no such flag
    ours = _container(objects(deployed("serving_any")))
    assert ours["command"] == ["podway-model-server"]
    assert "--host=0.0.0.0" in ours["args"]


def test_a_gpu_is_asked_for_and_compiled_for():
    made = objects(deployed("serving_gpu"))
    container = _container(made)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "--xla_gpu_compilation_enabled=true" in container["args"]
    pod = _one(made, "Deployment")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert pod["priorityClassName"] == "serving"


def test_histories_are_not_batched_where_that_changes_them():
    """TensorFlow Serving pads the shorter by its own first value."""
    stock = _container(objects(deployed("serving")))
    assert not [flag for flag in stock["args"] if "batching" in flag]
    ours = _container(objects(deployed("serving_any")))
    assert "--enable_batching=true" in ours["args"]
    rows = dataclasses.replace(deployed("serving"), tracks={"stable": ROWS})
    assert "--enable_batching=true" in _container(objects(rows))["args"]


def test_memory_follows_the_model():
    found = deployed("serving")
    stable, canary = (found.memory(track) for track in found.tracks)
    assert (stable, canary) == ("4780Mi", "5480Mi")
    assert deployed("serving_any").memory("stable") == "4Gi"


def test_another_version_makes_other_pods_and_the_same_deployment():
    first, second = deployed("serving"), deployed("serving")
    second = dataclasses.replace(second, tracks={"stable": second.tracks["canary"]})
    one, two = (_one(objects(each), "Deployment") for each in (first, second))
    assert one["metadata"]["name"] == two["metadata"]["name"]
    assert one["spec"]["selector"] == two["spec"]["selector"]  # which nothing may change
    assert one["spec"]["template"] != two["spec"]["template"]
    assert first.files_name("stable") != second.files_name("stable")


def test_a_pod_ends_after_load_balancers_know_and_before_it_is_killed():
    pod = _one(objects(deployed("serving", drain_seconds=40)), "Deployment")["spec"]["template"]
    assert pod["spec"]["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 40}}
    # Our server waits for 30 s for what it is still answering.
    from podway.export.server.options import LimitOptions

    assert pod["spec"]["terminationGracePeriodSeconds"] >= 40 + LimitOptions.drain_seconds


def test_startup_outlasts_loading():
    probe = _container(objects(deployed("serving", startup_seconds=1234)))["startupProbe"]
    assert 1234 <= probe["periodSeconds"] * probe["failureThreshold"] < 1250


# --------------------------------------------------------------------------------- traffic


def test_weights_and_labels():
    route = _one(objects(deployed("serving")), "HTTPRoute")["spec"]
    stable, canary, others = route["rules"]
    assert [each["name"] for each in stable["backendRefs"]] == ["movielens-sasrec-stable"]
    assert [each["name"] for each in canary["backendRefs"]] == ["movielens-sasrec-canary"]
    assert [each["weight"] for each in others["backendRefs"]] == [95, 5]
    asked = "/v1/models/movielens_sasrec/labels/canary:predict"
    matches = [rule for rule in route["rules"] if _matches(rule, asked)]
    assert matches[0] is canary


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/v1/models/movielens_sasrec:predict", 2),
        ("/v1/models/movielens_sasrec/metadata", 2),
        ("/v1/models/movielens_sasrec/versions/3:predict", 0),
        ("/v1/models/movielens_sasrec/versions/4", 1),
        ("/v1/models/movielens_sasrec_2:predict", None),
        ("/v1/models/other:predict", None),
        ("/", None),
    ],
)
def test_only_the_models_own_paths_are_routed(path, rule):
    """Several models share a host: the most specific match of a path counts."""
    rules = _one(objects(deployed("serving")), "HTTPRoute")["spec"]["rules"]
    lengths = [_matches(each, path) for each in rules]
    best = max(lengths)
    assert (lengths.index(best) if best else None) == rule


def test_without_a_gateway_there_are_no_routes():
    made = objects(deployed("serving", gateway=Gateway()))
    assert not [each for each in made if each["kind"] in ("HTTPRoute", "GRPCRoute", *_GKE)]


def test_load_balancers_of_google_ask_what_answers():
    policy = _one(objects(deployed("serving")), "HealthCheckPolicy")["spec"]
    asked = policy["default"]["config"]["httpHealthCheck"]
    assert asked["requestPath"] == "/v1/models/movielens_sasrec/metadata"
    assert asked["port"] == server.REST


def test_servers_of_a_volume_ask_nobody():
    policy = _one(objects(deployed("serving_any")), "NetworkPolicy")["spec"]
    assert policy["egress"] == []
    assert "egress" not in _one(objects(deployed("serving")), "NetworkPolicy")["spec"]


# --------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": "tensorflow/serving:2.18.0"}, r"target\.image"),
        ({"namespace": "my_space"}, r"target\.namespace"),
        ({"startup_seconds": 10}, r"target\.startup_seconds"),
        ({"drain_seconds": 0}, r"target\.drain_seconds"),
        ({"cpu": "two"}, r"target\.cpu"),
        ({"memory": "4"}, r"target\.memory"),
        ({"monitoring": "none"}, r"needs metrics"),
    ],
)
def test_fields_that_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        deployed("serving", **fields)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Scaling(least=0), r"scaling\.least"),
        (lambda: Scaling(least=3, most=2), r"scaling\.most"),
        (lambda: Scaling(canary_least=11), r"scaling\.canary_least"),
        (lambda: Scaling(cpu_percent=0), r"scaling\.cpu_percent"),
        (lambda: Gateway("g", canary_percent=101), r"gateway\.canary_percent"),
        (lambda: Gateway("g", grpc=True), r"gateway\.host"),
        (lambda: Gateway(host="h"), r"gateway\.name"),
    ],
)
def test_parts_that_cannot_be(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_what_must_be_mended_first():
    found = dataclasses.replace(deployed("serving"), target=Serving(), workdir="w")
    image, place = found.problems()
    assert "target.image is missing" in image
    assert "--workdir is 'w'" in place
    elsewhere = dataclasses.replace(
        deployed("serving"), target=Serving(image=DIGEST, provider="any")
    )
    assert "only GKE mounts" in elsewhere.problems()[0]


# ------------------------------------------------------------------------------ own checks


def _one(made: list[dict], kind: str) -> dict:
    return next(each for each in made if each["kind"] == kind)


def _container(made: list[dict]) -> dict:
    return _one(made, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def _matches(rule: dict, path: str) -> int:
    """Characters of a rule's best match of a path, as the Gateway API says; exact ones first."""
    found = [0]
    for match in rule["matches"]:
        kind, value = match["path"]["type"], match["path"]["value"]
        if kind == "Exact" and path == value:
            found.append(1000 + len(value))
        if kind == "PathPrefix" and (path == value or path.startswith(f"{value}/")):
            found.append(len(value))
    return max(found)


def _probe(made: list[dict], kind: str) -> dict:
    return _container(made)[kind]["httpGet"]


BROKEN = {
    "it scales Deployment": lambda made: _one(made, "HorizontalPodAutoscaler")["spec"][
        "scaleTargetRef"
    ].update(name="nobody"),
    "minReplicas is above": lambda made: _one(made, "HorizontalPodAutoscaler")["spec"].update(
        maxReplicas=1
    ),
    "no rule records": lambda made: _one(made, "HorizontalPodAutoscaler")["spec"]["metrics"][1][
        "pods"
    ]["metric"].update(name=":tensorflow:serving:request_count"),
    "matches no pod": lambda made: _one(made, "PodDisruptionBudget")["spec"]["selector"][
        "matchLabels"
    ].update(app="other"),
    "its selector": lambda made: _one(made, "PodMonitoring")["spec"]["selector"][
        "matchLabels"
    ].update(app="other"),
    "keep a machine from being drained": lambda made: _one(made, "PodDisruptionBudget")[
        "spec"
    ].update(maxUnavailable=0),
    "its weights add to 95": lambda made: _one(made, "HTTPRoute")["spec"]["rules"][2][
        "backendRefs"
    ].pop(),
    "there is no Service nobody": lambda made: _one(made, "GRPCRoute")["spec"]["rules"][0][
        "backendRefs"
    ][0].update(name="nobody"),
    "has no port 80": lambda made: _one(made, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][
        0
    ].update(port=80),
    "no port of the pods": lambda made: _one(made, "Service")["spec"]["ports"][0].update(
        targetPort="http"
    ),
    "there is no Service gone": lambda made: _one(made, "HealthCheckPolicy")["spec"][
        "targetRef"
    ].update(name="gone"),
    "would fail it, all at once": lambda made: _one(made, "HealthCheckPolicy")["spec"]["default"][
        "config"
    ]["httpHealthCheck"].update(requestPath="/v1/models/m/versions/3"),
    "asks the port http": lambda made: _probe(made, "startupProbe").update(port="http"),
    "depends on the model": lambda made: _probe(made, "livenessProbe").update(
        path="/v1/models/movielens_sasrec"
    ),
    "less than a minute": lambda made: _container(made)["startupProbe"].update(failureThreshold=3),
    "grace period ends": lambda made: _one(made, "Deployment")["spec"]["template"]["spec"].update(
        terminationGracePeriodSeconds=20
    ),
    "and its limit is": lambda made: _container(made)["resources"]["limits"].update(memory="9Gi"),
    "another version than": lambda made: _probe(made, "readinessProbe").update(
        path="/v1/models/movielens_sasrec/versions/9/metadata"
    ),
    "its ConfigMap has no": lambda made: _container(made)["args"].append(
        "--batching_parameters_file=/podway/server/batching.config"
    ),
    "there is no metric :tensorflow:serving:request_counts": lambda made: _one(made, "Rules")[
        "spec"
    ]["groups"][1]["rules"][0].update(expr="rate(:tensorflow:serving:request_counts[1m]) > 1"),
    "there is no ConfigMap": lambda made: made.remove(_one(made, "ConfigMap")),
    "not named by its digest": lambda made: _container(made).update(image="tensorflow/serving:2"),
    "unknown annotation": lambda made: _one(made, "Deployment")["metadata"]["annotations"].update(
        {"x/y": "z"}
    ),
}
"""What a check says → how an object is broken so that it does."""


@pytest.mark.parametrize("said", BROKEN)
def test_each_check_catches_its_error(said):
    made = copy.deepcopy(objects(deployed("serving")))
    BROKEN[said](made)
    assert any(said in problem for problem in check.problems(made)), check.problems(made)


if __name__ == "__main__":
    for golden in GOLDENS:
        (GOLDEN / f"{golden}.yaml").write_text(yaml_text.of(objects(deployed(golden))))
