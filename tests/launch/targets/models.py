"""Published models without TensorFlow: what targets read of them is their manifests."""

import pathlib

from podway.export.versions import promote, publish

DETAILS = {
    "batch_buckets": [1, 8, 64],
    "padding": {"serving_default": {"history": ""}},
    "verified": "verified: 20 cases",
}
"""Of a recommender, whose requests differ in length."""
ROWS = {"batch_buckets": [1, 8, 64], "verified": "verified: 20 cases"}
"""Of a model of rows."""


def add(workdir: pathlib.Path, name: str, details: dict | None = None, size: int = 1000) -> int:
    """Publishes another version. Returns its number."""
    built = workdir / "built"
    (built / "assets.extra").mkdir(parents=True, exist_ok=True)
    (built / "saved_model.pb").write_bytes(b"x" * size)
    (built / "assets.extra" / "golden.json").write_bytes(b"y" * 500)
    place = publish.publish(
        built,
        name=name,
        workdir=workdir,
        version=f"0123456789ab-{size:08x}",
        config={},
        inputs={},
        code="c0de",
        details=details or DETAILS,
    )
    return int(place.name)


def label(workdir: pathlib.Path, name: str, version: int, label: str) -> None:
    """Moves a label to a version: asks for it, and then moves."""
    for _ in range(2):
        promote.promote(name, version, workdir, label=label)
