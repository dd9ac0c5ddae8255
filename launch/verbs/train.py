"""`podway train`: in this process, or in several that are watched and started again."""

import contextlib
import dataclasses
from collections.abc import Callable

from podway.framework.error import check
from podway.launch import elastic, stages, supervise
from podway.launch.verbs.verb import Trained, Verb


@dataclasses.dataclass(frozen=True)
class Train(Trained):
    """An experiment, where its artefacts lie, and the processes that train it."""

    num_processes: int | None = None
    """Processes that train together. Alone: all on this machine, started from here."""
    coordinator: str | None = None
    """HOST:PORT on which process 0 listens; with --num-processes and --process-id."""
    process_id: int | None = None
    """Number of this process, from 0."""
    distributed: bool = False
    """Ask the platform (Cloud TPU, GKE, Slurm, Open MPI) for the three above."""
    restart_on_failure: bool = False
    """Start again, from the last checkpoint, when a process fails."""
    max_restarts: int = 3
    """Restarts without a new checkpoint after which to give up."""
    elastic: bool = False
    """Go on with fewer processes when one is lost for good, and with all when it is back; for
    --num-processes alone, and with restarts."""
    heartbeat: float = 15.0
    """Seconds without a sign of life after which a process counts as lost, and all end."""
    standstill: float = 600.0
    """Seconds without any progress after which the process that is behind counts as hung."""
    profile: str | None = None
    """Steps FIRST:LAST to write a profiler trace of, into profile/ of the run."""
    deterministic: bool = False
    """Same bits each time on a GPU too, where scatters then take longer."""
    compile_cache: str = ""
    """Folder of compiled programs, or "off". Without one what JAX_COMPILATION_CACHE_DIR says, or
    compiled/ of the workdir."""


def train(options: Train) -> None:
    """Trains in this process, or runs the processes that do."""
    from podway.framework.runs import profiling
    from podway.framework.training import distributed

    here = supervise.in_worker()
    local = options.num_processes is not None and not (
        options.coordinator or options.distributed or options.process_id is not None
    )
    check(options.max_restarts >= 1, f"--max-restarts is {options.max_restarts}; give 1 or more")
    check(
        not local or (options.num_processes or 0) >= 1,
        f"--num-processes is {options.num_processes}; give 1 or more",
    )
    check(
        not options.elastic or local or here,
        "--elastic is for processes that one supervisor starts: give --num-processes alone",
    )
    experiment = options.chosen
    span = profiling.Span.parse(options.profile) if options.profile else None
    cluster = distributed.Cluster(
        automatic=options.distributed,
        coordinator=options.coordinator,
        processes=options.num_processes,
        process=options.process_id,
        silence=options.heartbeat,
        standstill=options.standstill,
    )
    check(
        not (local or cluster.several) or stages.takes_steps(experiment),
        f"{type(experiment.model).__name__} is fitted or converted by one process; leave out"
        " --num-processes",
    )
    supervised = not here and (local or cluster.several or options.restart_on_failure)
    if supervised:
        stages.datasets(experiment, options.workdir, build=not cluster.several, code=options.code)
    chosen = stages.TrainOptions(
        cluster, span, options.deterministic, options.compile_cache, options.code
    )
    experiment = stages.longer(
        experiment,
        options.workdir,
        options.more,
        dataclasses.replace(chosen, profile=None),
        train_them=not (here or supervised),
    )
    if supervised:
        restart, saved = options.restart_on_failure or options.elastic, 0

        def progress() -> int:
            nonlocal saved
            with contextlib.suppress(OSError):  # the store may answer the next time
                saved = stages.saved_step(experiment, options.workdir, options.code)
            return saved

        supervise.run(
            _crew(options, progress) if local else supervise.single(options.process_id or 0),
            progress=progress,
            restarts=options.max_restarts if restart else 0,
            pause=2 * options.heartbeat if cluster.several else 1.0,
        )
        return
    with supervise.worker() if here else contextlib.nullcontext():
        stages.train(experiment, options.workdir, chosen)


def _crew(options: Train, progress: Callable[[], int]) -> supervise.Crew:
    """The processes of this machine."""
    processes = options.num_processes or 1
    if not options.elastic:
        return supervise.local(processes)
    sizes = elastic.sizes(options.chosen, processes, elastic.devices())
    return elastic.Elastic(supervise.together, sizes, progress)


VERB = Verb(
    "dataset → run; resumes, and stops at SIGTERM",
    Train,
    train,
    example="podway train movielens_sasrec --trainer.steps 200 --workdir w",
)
