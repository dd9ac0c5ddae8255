"""tensorflow_model_server's side files: text protos of batching, monitoring and TLS; and of our log
of requests.

Their messages are not in the package tensorflow-serving-api, so they are declared here, field by
field; protobuf's own parser then reads the files, and says line and column of what is wrong.
"""

import functools
from collections.abc import Mapping
from typing import Any

from etils import epath
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from podway.export.server.error import ServerError

_Field = descriptor_pb2.FieldDescriptorProto

_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
}

_MESSAGES: Mapping[str, Mapping[str, str]] = {
    # The wrappers, as in `max_batch_size { value: 128 }`.
    "Int64Value": {"value": "int64"},
    "BoolValue": {"value": "bool"},
    "StringValue": {"value": "string"},
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    # Our own: export/server/request_log.py.
    "RequestLogConfig": {
        "directory": "string",
        "sampling_rate": "double",
        "hashed": "repeated string",
        "hash_key_file": "string",
        "max_file_bytes": "Int64Value",
        "max_files": "Int64Value",
    },
    "SSLConfig": {
        "server_key": "string",
        "server_cert": "string",
        "custom_ca": "string",
        "client_verify": "bool",
    },
}
"""Field → type, by message; nothing of it is ever sent, so the numbers are of no account."""


def read(path: epath.PathLike, message: str, where: str) -> Any:
    """The message of this type in a file; `where` names the file's flag in errors.

    Raises:
      ServerError: there is no such file, or it is not such a text proto.
    """
    where, path = f"{where} {path}", epath.Path(path)
    try:
        if not path.exists():
            raise ServerError(f"{where} does not exist")
        return text_format.Parse(path.read_text(), _classes()[message]())
    except text_format.ParseError as error:
        fields = ", ".join(_MESSAGES[message])
        raise ServerError(f"{where} is no {message}: {error}; its fields are {fields}") from error
    except UnicodeDecodeError as error:
        raise ServerError(f"{where} is not text: {error}") from error
    except ServerError:
        raise
    except OSError as error:
        raise ServerError(f"{where} cannot be read: {error.strerror or error}") from error


def value(message: Any, field: str, default: Any) -> Any:
    """What a wrapper field holds, or the default where the file leaves it out."""
    return getattr(message, field).value if message.HasField(field) else default


@functools.cache
def _classes() -> Mapping[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="podway/server.proto", package="podway.server", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            kind, repeated = kind.removeprefix("repeated "), kind.startswith("repeated ")
            entry = message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
                type=_SCALARS.get(kind, _Field.TYPE_MESSAGE),
            )
            if kind not in _SCALARS:
                entry.type_name = f".{file.package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _MESSAGES
    }
