"""What the manifests say, as messages of Google's API (run.v2)."""

import json
from typing import Any

import google.cloud.run_v2 as run_v2
from google.protobuf import duration_pb2

_INGRESS = {
    "all": run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL,
    "internal": run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
    "internal-and-cloud-load-balancing": (
        run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER
    ),
}
_EGRESS = {
    "all-traffic": run_v2.VpcAccess.VpcEgress.ALL_TRAFFIC,
    "private-ranges-only": run_v2.VpcAccess.VpcEgress.PRIVATE_RANGES_ONLY,
}
_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_SECOND = run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2


def service(wanted: dict[str, Any]) -> run_v2.Service:
    """A service of Knative's form."""
    template = wanted["spec"]["template"]
    spec, notes = template["spec"], template["metadata"]["annotations"]
    return run_v2.Service(
        labels=_labels(wanted["metadata"]),
        ingress=_INGRESS[wanted["metadata"]["annotations"]["run.googleapis.com/ingress"]],
        template=run_v2.RevisionTemplate(
            revision=template["metadata"]["name"],
            labels=template["metadata"]["labels"],
            scaling=run_v2.RevisionScaling(
                min_instance_count=int(notes["autoscaling.knative.dev/minScale"]),
                max_instance_count=int(notes["autoscaling.knative.dev/maxScale"]),
            ),
            timeout=duration_pb2.Duration(seconds=spec["timeoutSeconds"]),
            service_account=spec.get("serviceAccountName", ""),
            containers=[_container(each, notes) for each in spec["containers"]],
            volumes=[_volume(each) for each in spec["volumes"]],
            execution_environment=_SECOND,
            max_instance_request_concurrency=spec["containerConcurrency"],
            node_selector=_node_selector(spec),
            vpc_access=_vpc_access(notes),
            session_affinity=notes.get("run.googleapis.com/sessionAffinity") == "true",
            gpu_zonal_redundancy_disabled=notes.get(
                "run.googleapis.com/gpu-zonal-redundancy-disabled"
            )
            == "true",
        ),
        traffic=[
            run_v2.TrafficTarget(
                type_=_REVISION,
                revision=each["revisionName"],
                percent=each["percent"],
                tag=each["tag"],
            )
            for each in wanted["spec"]["traffic"]
        ],
    )


def job(wanted: dict[str, Any]) -> run_v2.Job:
    """A job."""
    execution = wanted["spec"]["template"]
    task = execution["spec"]["template"]["spec"]
    return run_v2.Job(
        labels=_labels(wanted["metadata"]),
        template=run_v2.ExecutionTemplate(
            labels=execution["metadata"]["labels"],
            task_count=execution["spec"]["taskCount"],
            template=run_v2.TaskTemplate(
                max_retries=task["maxRetries"],
                timeout=duration_pb2.Duration(seconds=task["timeoutSeconds"]),
                service_account=task.get("serviceAccountName", ""),
                containers=[_container(each, {}) for each in task["containers"]],
                volumes=[_volume(each) for each in task["volumes"]],
                execution_environment=_SECOND,
            ),
        ),
    )


def _labels(metadata: dict[str, Any]) -> dict[str, str]:
    """Without that which says in Knative's form where the service is."""
    return {
        name: value
        for name, value in metadata["labels"].items()
        if not name.startswith("cloud.googleapis.com/")
    }


def _container(wanted: dict[str, Any], notes: dict[str, str]) -> run_v2.Container:
    resources = run_v2.ResourceRequirements(limits=wanted["resources"]["limits"])
    if notes:
        # Cores are there while requests are answered, or all the time.
        resources.cpu_idle = notes.get("run.googleapis.com/cpu-throttling", "true") == "true"
        resources.startup_cpu_boost = notes["run.googleapis.com/startup-cpu-boost"] == "true"
    found = run_v2.Container(
        name=wanted["name"],
        image=wanted["image"],
        command=wanted["command"],
        args=wanted["args"],
        env=[_variable(each) for each in wanted.get("env", [])],
        ports=[
            run_v2.ContainerPort(name=each["name"], container_port=each["containerPort"])
            for each in wanted.get("ports", [])
        ],
        resources=resources,
        volume_mounts=[
            run_v2.VolumeMount(name=each["name"], mount_path=each["mountPath"])
            for each in wanted["volumeMounts"]
        ],
    )
    for name, field in (
        ("startupProbe", "startup_probe"),
        ("livenessProbe", "liveness_probe"),
        ("readinessProbe", "readiness_probe"),
    ):
        if name in wanted:
            setattr(found, field, _probe(wanted[name]))
    return found


def _variable(wanted: dict[str, Any]) -> run_v2.EnvVar:
    if "value" in wanted:
        return run_v2.EnvVar(name=wanted["name"], value=wanted["value"])
    of = wanted["valueFrom"]["secretKeyRef"]
    key = run_v2.SecretKeySelector(secret=of["name"], version=of["key"])
    return run_v2.EnvVar(name=wanted["name"], value_source=run_v2.EnvVarSource(secret_key_ref=key))


def _probe(wanted: dict[str, Any]) -> run_v2.Probe:
    found = run_v2.Probe(
        period_seconds=wanted["periodSeconds"],
        timeout_seconds=wanted["timeoutSeconds"],
        failure_threshold=wanted["failureThreshold"],
    )
    if "grpc" in wanted:
        found.grpc = run_v2.GRPCAction(port=wanted["grpc"]["port"])
    else:
        asked = wanted["httpGet"]
        found.http_get = run_v2.HTTPGetAction(path=asked["path"], port=asked["port"])
    return found


def _volume(wanted: dict[str, Any]) -> run_v2.Volume:
    csi = wanted["csi"]
    source = run_v2.GCSVolumeSource(
        bucket=csi["volumeAttributes"]["bucketName"], read_only=csi["readOnly"]
    )
    return run_v2.Volume(name=wanted["name"], gcs=source)


def _vpc_access(notes: dict[str, str]) -> run_v2.VpcAccess | None:
    egress = notes.get("run.googleapis.com/vpc-access-egress")
    if egress is None:
        return None
    return run_v2.VpcAccess(
        connector=notes.get("run.googleapis.com/vpc-access-connector", ""),
        egress=_EGRESS[egress],
        network_interfaces=[
            run_v2.VpcAccess.NetworkInterface(
                network=each["network"], subnetwork=each["subnetwork"]
            )
            for each in json.loads(notes.get("run.googleapis.com/network-interfaces", "[]"))
        ],
    )


def _node_selector(spec: dict[str, Any]) -> run_v2.NodeSelector | None:
    accelerator = spec.get("nodeSelector", {}).get("run.googleapis.com/accelerator")
    return run_v2.NodeSelector(accelerator=accelerator) if accelerator else None
