"""One server, or several of one workdir, that follow models.config: versions move by labels.

Clients name the label stable, or canary if the split says so. Who names no label gets the highest
version that is loaded, which is TensorFlow Serving's rule, and so the new one from the moment when
it is loaded: such clients are not part of a rollout.
"""

import time
from collections.abc import Callable

from etils import epath

from podway.export import layout
from podway.export.versions import history, promote
from podway.export.versions.promote import Server
from podway.framework.error import PodwayError
from podway.launch.rollout.target import RolloutError
from podway.online.rollout.state import CANARY, STABLE, State

LAST_GOOD = "last-good"
"""Label that keeps the version before loaded until the new one is seen to answer for stable."""
_PATIENCE = 30.0
"""Seconds in which a server sees that its config has changed, and says so."""


class Labels:
    """The target of a workdir's labels.

    Args:
      model: its name.
      workdir: folder of models/.
      address: HOST:PORT of the server's gRPC; "": nobody is asked, and nothing waited for.
      say: takes what was done, a line each.
      patience: seconds until a server that does not say what it should is given up.
    """

    def __init__(
        self,
        model: str,
        workdir: epath.PathLike,
        address: str,
        *,
        say: Callable[[str], None] = print,
        patience: float = _PATIENCE,
    ):
        self._model, self._workdir, self._address = model, epath.Path(workdir), address
        self._say, self._patience = say, patience

    @property
    def _home(self) -> epath.Path:
        return layout.models(self._workdir) / self._model

    def good(self, version: int) -> int:
        """The version at the label stable; without that label the one that others get, but the new
        one, which an export made that."""
        served, unlabelled, entries = promote.read(self._model, self._workdir)
        found = served.labels.get(STABLE, unlabelled)
        if found == version and STABLE not in served.labels:
            found = next(iter(reversed(history.earlier(entries, ""))), None)
        if found is None:
            raise RolloutError(
                f"{self._model}: there is no version beside {version} that serves, to which"
                f" requests could go back; `podway promote {self._model} {version} --label"
                f" {STABLE}` has all of them get it at once"
            )
        if found == version:
            raise RolloutError(
                f"{self._model}: version {version} is at the label {STABLE!r} already;"
                f" `podway versions {self._model}` lists the others"
            )
        return found

    def prepare(self, state: State) -> None:
        """The label stable at the good version."""
        self._move(state, state.good, STABLE)
        self._await(STABLE, state.good)

    def load(self, state: State) -> None:
        """The label canary at the new version."""
        self._move(state, state.version, CANARY)
        self._await(CANARY, state.version)

    def share(self, state: State) -> None:
        """Nothing: clients split by themselves."""

    def promote(self, state: State) -> None:
        """The label stable at the new version; the one before stays loaded, for a way back."""
        self._check_unmoved(state)
        served, _, _ = promote.read(self._model, self._workdir)
        if served.labels.get(STABLE) == state.good:
            self._move(state, state.good, LAST_GOOD)
        self._move(state, state.version, STABLE)

    def back(self, state: State) -> None:
        """Labels that stand at the new version, at the good one; what else somebody moved stays."""
        served, _, _ = promote.read(self._model, self._workdir)
        if served.labels.get(STABLE, state.version) == state.version:
            self._move(state, state.good, STABLE)
        if served.labels.get(CANARY) == state.version:
            self._move(state, self._at_stable(state), CANARY)

    def clean(self, state: State) -> None:
        """No labels of the rollout; who names no label gets what the label stable names."""
        wanted = self._at_stable(state)
        served, _, _ = promote.read(self._model, self._workdir)
        for label in (CANARY, LAST_GOOD):
            if label in served.labels:
                self._say(promote.withdraw(self._model, self._workdir, label=label))
        _, unlabelled, _ = promote.read(self._model, self._workdir)
        if unlabelled != wanted and unlabelled in (state.version, state.good):
            try:
                self._say(promote.promote(self._model, wanted, self._workdir, loaded=True))
            except PodwayError as error:  # another label keeps a version loaded
                self._say(str(error))

    def verify(self, state: State) -> str:
        """The version that is to serve answers for the label stable, by what the server says."""
        wanted = self._at_stable(state)
        served, _, _ = promote.read(self._model, self._workdir)
        if served.labels.get(STABLE) != wanted:
            raise RolloutError(f"{self._model}: the label {STABLE!r} is at no version")
        if not self._address:
            return f"label {STABLE!r} is at version {wanted}; no server was asked"
        self._await(STABLE, wanted)
        return f"version {wanted} answers for label {STABLE!r}, asked at {self._address}"

    def _await(self, label: str, wanted: int) -> None:
        """Returns when the server answers for a label by this version. Raises RolloutError."""
        end = time.monotonic() + self._patience
        while self._address and (problem := self._difference(label, wanted)):
            if time.monotonic() > end:
                raise RolloutError(
                    f"{problem}; does the server watch {layout.server_config(self._workdir)}"
                    " (--model_config_file_poll_wait_seconds)?"
                )
            time.sleep(0.1)

    def _difference(self, label: str, wanted: int) -> str:
        """What a server says that should not be so; "": nothing."""
        from podway.launch.rollout import ask  # needs TensorFlow Serving's messages

        try:
            found = ask.answering(self._address, self._model, label, self._home, wanted)
        except RolloutError as error:
            return str(error)
        if found != wanted:
            return (
                f"--server {self._address}: version {found} answers for label {label!r} of"
                f" {self._model}, and {wanted} should"
            )
        return ""

    def _at_stable(self, state: State) -> int:
        """The version that the label stable is to be at in the end."""
        served, _, _ = promote.read(self._model, self._workdir)
        found = served.labels.get(STABLE, state.version)
        if state.phase in ("promoting", "stable"):
            return state.version
        return state.good if found == state.version else found

    def _check_unmoved(self, state: State) -> None:
        served, _, _ = promote.read(self._model, self._workdir)
        stable: tuple[int | None, ...] = (state.good, state.version)
        canary: tuple[int | None, ...] = (state.version,)
        if served.labels.get(STABLE) == state.version:  # so the label canary may be gone already
            canary = (state.version, None)
        for label, wanted in ((STABLE, stable), (CANARY, canary)):
            if served.labels.get(label) not in wanted:
                raise RolloutError(
                    f"label {label!r} was moved meanwhile, to {served.labels.get(label) or 'none'}"
                )

    def _move(self, state: State, version: int, label: str) -> None:
        """Moves a label, if it is not there; with a server to ask, once the version is loaded.

        On the way back to a version that is asked for anyway nobody is waited for: a server that
        does not answer now is to find the right file when it does.
        """
        served, _, _ = promote.read(self._model, self._workdir)
        loaded = version in served.versions
        waits = bool(self._address) and not (state.phase == "returning" and loaded)
        server = Server(self._address, state.plan.load_seconds) if waits else None

        def move() -> str:
            return promote.promote(
                self._model, version, self._workdir, label=label, server=server, loaded=loaded
            )

        done = move()
        if not self._address and "step 1 of 2" in done:  # it only had the version loaded
            done = move()
        self._say(done)
