"""Metrics of a model's last rollout, from the file of its state."""

import datetime
import typing

from etils import epath

from podway.export import layout
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.alerts.catalogue import Samples, chosen, one
from podway.online.rollout import state as states
from podway.online.rollout import store

PHASES = typing.get_args(states.Phase)


def samples(workdir: epath.PathLike, model: str) -> Samples:
    """All of them; none where the model never had a rollout. Raises OnlineError."""
    state = store.read(layout.models(workdir) / model)
    if state is None:
        return []
    since = datetime.datetime.fromisoformat(state.since).timestamp()
    return [
        *chosen(catalogue.ROLLOUT_PHASE, (model,), PHASES, state.phase),
        *one(catalogue.ROLLOUT_VERSION, (model, "new"), state.version),
        *one(catalogue.ROLLOUT_VERSION, (model, "good"), state.good),
        *one(catalogue.ROLLOUT_SHARE, (model,), state.share),
        *one(catalogue.ROLLOUT_SINCE, (model,), since),
    ]
