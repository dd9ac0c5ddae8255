"""Several processes that train one run: how they meet, agree, stop together and fail together."""

import contextlib
import dataclasses
import json
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
from etils import epath
from jax.experimental import multihost_utils

from podway.framework import codec, config, exit_codes, termination
from podway.framework.code import sources
from podway.framework.error import ConfigError, PodwayError, check
from podway.framework.runs.goodput import Clock
from podway.framework.runs.telemetry import StepFailed
from podway.framework.training.heartbeat import Watch

PATIENCE = 600
"""Seconds that the processes wait for one another before the first step."""
END = 86_400
"""Seconds that the processes wait, at the end, until process 0 has committed the run."""
ASKED = "it was asked to end (SIGTERM)"
"""What a process says that ends before it has a step to save."""
VISIBLE = 30
"""Seconds until a file that process 0 wrote must be seen by all, on a shared file system."""


class PeerError(PodwayError, RuntimeError):
    """The processes of a run don't fit together; the message says which."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How the processes of a run find each other; without any of it there is one process.

    Attributes:
      automatic: JAX asks the platform (Cloud TPU, GKE, Slurm, Open MPI) for what is not given.
      coordinator: HOST:PORT on which process 0 listens.
      processes: how many there are.
      process: number of this one, from 0.
      silence: seconds without a sign of life after which a process counts as lost.
      standstill: seconds without any progress after which the one that is behind counts as hung.
    """

    automatic: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    silence: float = 15.0
    standstill: float = 600.0

    def __post_init__(self):
        check(
            self.coordinator is None or self.coordinator.rpartition(":")[2].isdigit(),
            f"--coordinator is {self.coordinator!r}; give HOST:PORT of process 0",
        )
        check(
            self.process is None or self.automatic or self.coordinator is not None,
            "--process-id is given, but not where process 0 listens: add --coordinator HOST:PORT",
        )
        check(
            self.processes is None or self.process is None or 0 <= self.process < self.processes,
            f"--process-id is {self.process}; with --num-processes {self.processes} give 0 to"
            f" {(self.processes or 0) - 1}",
        )
        check(self.silence >= 1, f"--heartbeat is {self.silence}; give 1 second or more")
        check(self.standstill > 0, f"--standstill is {self.standstill}; give more than 0 seconds")

    @property
    def several(self) -> bool:
        """Whether there is anybody to meet."""
        return self.automatic or self.coordinator is not None


class Peers:
    """The processes of a run, seen from this one; this one alone unless `join` made it.

    Attributes:
      first: whether this is process 0, which writes what only one may write.
      clock: what this process does; the others are told.
    """

    def __init__(self, watch: Watch | None = None, client: Any = None):
        self._watch, self._client, self._told = watch, client, 0
        self.first = watch is None or jax.process_index() == 0
        self.clock = watch.clock if watch else Clock()

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self._watch is None

    def tell(self, value: Any) -> Any:
        """The value (JSON) that process 0 has, in all of them; all must call it, in one order."""
        if self._watch is None:
            return value
        key, self._told = f"podway/told/{self._told}", self._told + 1
        if self.first:
            self._client.key_value_set(key, json.dumps(value))
            return value
        return json.loads(self._client.blocking_key_value_get(key, PATIENCE * 1000))

    def agree(self, facts: dict[str, Any]) -> None:
        """Raises PeerError unless `facts` (JSON) are the same in all processes."""
        if self._watch is None:
            return
        mine = {"facts": facts, "who": self._watch.name}
        count, rank = jax.process_count(), jax.process_index()
        self._client.key_value_set(f"podway/facts/{rank}", json.dumps(mine))
        found = []
        for number in range(1, count) if self.first else ():
            text = self._client.blocking_key_value_get(f"podway/facts/{number}", PATIENCE * 1000)
            theirs = json.loads(text)
            if other := codec.difference(theirs["facts"], json.loads(json.dumps(facts))):
                found.append(f"process {number} ({theirs['who']}): {other}")
        if found := self.tell(found):
            raise PeerError(
                'the processes don\'t run the same; "there" is process 0: ' + "; ".join(found)
            )

    def see(self, path: epath.Path) -> None:
        """Raises PeerError unless this process sees a file that process 0 wrote just before."""
        self.tell(True)
        deadline = time.monotonic() + VISIBLE
        while not path.exists():
            if time.monotonic() > deadline:
                raise PeerError(
                    f"process {jax.process_index()} does not see {path}, which process 0 wrote:"
                    " give a --workdir that all processes share"
                )
            time.sleep(0.2)

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """An error in the block ends all processes, instead of leaving the others to wait.

        A step that failed goes through: all processes see it at the same step. Where memory runs
        out after a save of this session, a restart helps: it had fitted until then.
        """
        try:
            yield
        except StepFailed:
            raise
        except BaseException as error:
            if exit_codes.is_out_of_memory(error) and self.clock.seconds()["checkpoint"]:
                setattr(error, "exit_code", exit_codes.CRASHED)  # noqa: B010
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        if self._watch is None:
            return
        code = exit_codes.of(error)
        if isinstance(error, PodwayError):
            self._watch.fail(str(error), code)
        if isinstance(error, KeyboardInterrupt):
            self._watch.fail(ASKED if code == exit_codes.PREEMPTED else "interrupted", code)
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
            # If a collective broke because a peer is dead, the watch will end this process
            # meanwhile, and say whose silence it was.
            time.sleep(2 * self._watch.silence)
        traceback.print_exception(error)
        self._watch.fail(f"{type(error).__name__}: {error}".splitlines()[0], code)


@contextlib.contextmanager
def join(cluster: Cluster) -> Iterator[Peers]:
    """The processes of a run, for the time of a block, at whose end they wait for each other.

    To be entered before JAX touches a device. Any error in the block, and the loss of any process,
    ends this process, with the exit code that framework/exit_codes.py has for it.

    Raises:
      ConfigError: the platform does not say who the processes are.
    """
    if not cluster.several:
        yield Peers()
        return
    from jax._src import distributed  # the store of the coordination service has no other door

    jax.config.update("jax_enable_preemption_service", False)  # until there is a step to agree on
    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.processes,
            cluster.process,
            initialization_timeout=PATIENCE // 2,
            heartbeat_timeout_seconds=max(round(3 * cluster.silence), 10),
        )
    except ValueError as error:
        raise ConfigError(
            f"--distributed: {error}; give --coordinator, --num-processes and --process-id"
        ) from error
    state = distributed.global_state
    client: Any = state.client
    watch = Watch(
        client,
        state.process_id,
        state.num_processes,
        str(state.coordinator_address),
        silence=cluster.silence,
        standstill=cluster.standstill,
    )
    peers = Peers(watch, client)
    with termination.last_words(lambda: watch.fail(ASKED, exit_codes.PREEMPTED)):
        try:
            yield peers
        except BaseException as error:
            peers._fail(error)
            raise
    client.wait_at_barrier("podway/end", END * 1000)
    watch.stop()
    jax.distributed.shutdown()


def facts(experiment: config.Experiment, inputs: dict[str, str]) -> dict[str, Any]:
    """What must be the same in all processes, beside the run's version."""
    return {
        "experiment": codec.to_json(experiment),
        "inputs": inputs,
        "code": sources.code("run", experiment),
        "jax": jax.__version__,
    }


def check_mesh(devices: jax.sharding.Mesh) -> None:
    """Raises ConfigError where the mesh leaves out the devices of a process."""
    used = {device.process_index for device in devices.devices.flat}
    idle = sorted(set(range(jax.process_count())) - used)
    check(
        not idle,
        f"the mesh {dict(devices.shape)} uses no device of process {idle}; set mesh so that it"
        f" covers the {jax.device_count()} devices, or start fewer processes",
    )


@contextlib.contextmanager
def stopping() -> Iterator[Callable[[int], bool]]:
    """A function: whether to save and stop, now that a step (its number) has been dispatched.

    It is true after a SIGTERM. With several processes, a SIGTERM to any of them stops all of them
    after the same step, which JAX's preemption service agrees on in the background: asking costs no
    communication. The service begins here, when all are ready for the first step, and takes SIGTERM
    over; before, a process that is asked to end does so at once, and the others with it.
    """
    if jax.process_count() > 1:
        from jax._src import distributed  # as above

        service: Any = distributed.global_state
        service.client.wait_at_barrier("podway/loop", END * 1000)
        jax.config.update("jax_enable_preemption_service", True)
        service.initialize_preemption_sync_manager()
        yield multihost_utils.reached_preemption_sync_point
        return
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield lambda _: stop.is_set()
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield lambda _: stop.is_set()
    finally:
        signal.signal(signal.SIGTERM, previous)
