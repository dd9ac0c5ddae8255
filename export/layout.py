"""Where things lie: workdir/models/models.config, and inside models/NAME/VERSION. Pure Python."""

from etils import epath

MANIFEST = "assets.extra/export.json"
"""The version's manifest (framework/artifact/)."""
SIGNATURE = f"{MANIFEST}.minisig"
"""Who published it, where it is signed (export/signature/)."""
WARMUP = "assets.extra/tf_serving_warmup_requests"
"""Requests that a server replays before it calls the version available."""
GOLDEN = "assets.extra/golden.json"
"""Requests with the answers that JAX gives, for export/verification/."""
VALUES = "item_values.tensor"
"""In assets/: a recommender's items, row = id, as TensorFlow serialises a tensor of strings."""
REQUEST = "assets.extra/request.json"
"""The request that the card shows, where it is too long for a command."""
CARD, CARD_TEXT = "card.html", "card.md"
"""What the model is, and how it is called, for people; servers pass over both."""
GATE = "gate"
"""In a manifest's details: the rules that a version must pass before it serves."""
LOCK = ".lock"
"""Beside models.config: who holds it changes what is served (export/versions/turn.py)."""
HISTORY = "history.jsonl"
"""In the folder of a model: what was served when (export/versions/history.py)."""


def models(workdir: epath.PathLike) -> epath.Path:
    """The folder of all models; absolute, as servers need it."""
    path = epath.Path(workdir) / "models"
    return path if "://" in str(path) else epath.Path(path.absolute())


def server_config(workdir: epath.PathLike) -> epath.Path:
    """TF Serving's --model_config_file: which versions of which models are served."""
    return models(workdir) / "models.config"
