import dataclasses

from podway.launch.targets.kubernetes.serving.config import Alerts, Gateway, Scaling, Serving
from podway.launch.targets.kubernetes.serving.deployed import Deployed
from podway.launch.targets.kubernetes.target import Claim
from podway.launch.targets.published import Published

DIGEST = "registry.example/tensorflow/serving@sha256:" + "cd" * 32
STABLE = Published("movielens_sasrec", 3, 500 << 20, (1, 8, 64), True, "0123456789ab-01234567")
CANARY = dataclasses.replace(STABLE, version=4, bytes=600 << 20, hash="0123456789ab-89abcdef")
ROWS = Published("completejourney_dcn", 1, 10 << 20, (1, 2, 4), False, "ba9876543210-01234567")

TARGETS = {
    "serving": Serving(
        image=DIGEST,
        google_service_account="server@project.iam.gserviceaccount.com",
        gateway=Gateway("public", namespace="gateways", host="sasrec.example", grpc=True),
        clients=("shop", "gateways"),
        monitoring="gke",
        scaling=Scaling(requests_per_second=200.0),
    ),
    "serving_any": Serving(
        server="podway",
        image=DIGEST,
        provider="any",
        claims=(Claim("models", "/data"),),
        cpu="500m",
        memory="4Gi",
        gateway=Gateway("public"),
        monitoring="prometheus-operator",
        scaling=Scaling(least=3, requests_per_second=50.0),
        alerts=Alerts(error_percent=1, p99_milliseconds=80),
    ),
    "serving_gpu": Serving(image=DIGEST, gpu="nvidia-l4", priority="serving"),
}
WORKDIRS = {"serving": "gs://bucket/w", "serving_any": "/data/w", "serving_gpu": "gs://bucket"}


def deployed(name: str, **fields) -> Deployed:
    """The deployment of a golden file, on a target with other fields."""
    target = dataclasses.replace(TARGETS[name], **fields)
    canary = {} if name == "serving_gpu" else {"canary": CANARY}
    return Deployed({"stable": STABLE, **canary}, target, WORKDIRS[name])
