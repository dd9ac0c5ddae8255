"""The command line, `podway-model-server` and `python -m podway.export.server`.

It takes tensorflow_model_server's arguments: --flag=value or --flag value, and --flag, --flag=true
or --flag=false for a boolean.
"""

import dataclasses
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Any

import tyro

from podway.export.server.error import ServerError
from podway.export.server.models import programs
from podway.export.server.options import (
    BatchingOptions,
    LimitOptions,
    ListenOptions,
    LoadOptions,
    ManagementOptions,
    ModelOptions,
    ServerOptions,
    TensorFlowOptions,
    UnusedOptions,
)

DESCRIPTION = """SavedModels over TensorFlow Serving's gRPC and REST APIs.

Takes the flags and files of tensorflow_model_server:
  podway-model-server --model_config_file=models.config
  podway-model-server --model_name=movielens --model_base_path=/models/movielens --port=9000"""


@dataclasses.dataclass(frozen=True)
class _Groups:
    """The options in the groups that --help shows."""

    models: ModelOptions = ModelOptions()
    listening: ListenOptions = ListenOptions()
    management: ManagementOptions = ManagementOptions()
    batching: BatchingOptions = BatchingOptions()
    limits: LimitOptions = LimitOptions()
    loading: LoadOptions = LoadOptions()
    tensorflow: TensorFlowOptions = TensorFlowOptions()
    unused: UnusedOptions = UnusedOptions()


REFUSED = {
    "use_alts_credentials": "give --ssl_config_file for TLS",
    "platform_config_file": "there is the platform tensorflow alone",
    "prefer_tflite_model": "there are SavedModels alone",
    "num_tflite_pools": "there are SavedModels alone",
    "num_tflite_interpreters_per_pool": "there are SavedModels alone",
    "num_request_iterations_for_warmup": "put the requests into the warm-up file several times",
    "enable_signature_method_name_check": "leave it out",
    "thread_pool_factory_config_file": "give --tensorflow_intra_op_parallelism",
    "mixed_precision": "export the model in the precision that it is to have",
    "skip_initialize_tpu": "there are no TPUs",
    "enable_serialization_as_tensor_content": "leave it out",
}
"""Flags of tensorflow_model_server that would change what it does, and what to do instead."""

_BOOLEANS = {f.name for f in dataclasses.fields(ServerOptions) if f.type in (bool, "bool")}
_SAID = {"true": "True", "1": "True", "false": "False", "0": "False"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGINT or SIGTERM; exits with 1 (it cannot) or 2 (it was not understood)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if _asks(arguments, "version"):
            print(_version())
            return
        options = parse(arguments)
        if options.xla_cache_directory:
            programs.prepare(options.xla_cache_directory)
        # Imported here: --help need not wait for TensorFlow, nor does the supervisor need it.
        if options.workers > 1:
            from podway.export.server import workers as server
        else:
            from podway.export.server import serve as server
        server.main(options)
    except ServerError as error:
        sys.exit(f"error: {error}")


def parse(arguments: Sequence[str], prog: str = "podway-model-server") -> ServerOptions:
    """The options on a command line; exits with 2 when there is none such.

    Raises:
      ServerError: a value cannot be used.
    """
    groups = tyro.cli(
        _Groups,
        prog=prog,
        description=DESCRIPTION,
        args=_spell_booleans(arguments),
        use_underscores=True,
        config=(tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes),
    )
    values = {name: value for group in vars(groups).values() for name, value in vars(group).items()}
    return ServerOptions(**values)


def _spell_booleans(arguments: Sequence[str]) -> list[str]:
    """The arguments with every boolean as --flag=True or --flag=False. Raises ServerError."""
    result, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        flag, given, value = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else ""
        if name in REFUSED and value.lower() in ("false", "0"):
            continue  # that is what happens
        if name in REFUSED:
            raise ServerError(f"--{name} is not supported: {REFUSED[name]}")
        if name in _BOOLEANS:
            if not given:
                value = rest.pop(0) if rest and rest[0].lower() in _SAID else "true"
            if value.lower() not in _SAID:
                raise ServerError(f"{name} is {value!r}; give true or false")
            argument = f"--{name}={_SAID[value.lower()]}"
        result.append(argument)
    return result


def _asks(arguments: Sequence[str], name: str) -> bool:
    return any(argument in (f"--{name}", f"--{name}=true") for argument in arguments)


def _version() -> str:
    def of(package: str) -> Any:
        return importlib.metadata.version(package)

    return f"podway-model-server {of('podway')}\nTensorFlow {of('tensorflow')}"
