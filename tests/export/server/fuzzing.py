"""Requests that nobody would send, as Hypothesis strategies."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import json
import random
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from tests.export.server.conftest import predict_request

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METHODS = (
    PREDICT,
    PREDICT,
    "/tensorflow.serving.PredictionService/GetModelMetadata",
    "/tensorflow.serving.PredictionService/Classify",
    "/tensorflow.serving.PredictionService/Regress",
    "/tensorflow.serving.PredictionService/MultiInference",
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/tensorflow.serving.Nothing/AtAll",
)
"""Not HandleReloadConfigRequest, whose valid requests change what is served."""

SIZES = (-1, 0, 1, 2, 3, 3, 7, 1 << 13, 1 << 21, 1 << 31, 1 << 62, -(1 << 63))
NAMES = ("history", "a", "b", "item", "", "\0", "x" * 300, "é😀")
ATOMS: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, -0.0, 1 << 31, 1 << 64, 10**400, 1e308, "", "a", "é\0😀"),
    *("x" * 300, {"b64": "YQ=="}, {"b64": "?"}, {"b64": 1}, {}, [], [[]], [[], [1]]),
)
BODIES = (
    {"instances": [{"history": ["a", "b"]}, {"history": ["c", "d"]}]},
    {"instances": [["a"], [{"b64": "YQ=="}]]},
    {"inputs": {"history": [["a"]]}, "signature_name": "serving_default"},
    {"signature_name": "two", "instances": [{"a": [1, 2.5, 3], "b": 10}]},
    {"signature_name": "two", "inputs": {"a": [[1, 2, 3]] * 2, "b": [1, 2]}},
)
PATHS = (
    "/v1/models/m:predict",
    "/v1/models/m/versions/1:predict",
    "/v1/models/m/labels/stable:predict",
    "/v1/models/m:classify",
    "/v1/models/m:regress",
    "/v1/models/m",
    "/v1/models/m/metadata",
    "/v1/models/%00/versions/99999999999999999999:predict",
    "//..%2f..%2fetc/passwd?x=1#y",
)


Case = TypeVar("Case")
Generator = Callable[[random.Random], Case]


def one(generator: Generator[Case]) -> st.SearchStrategy[list[Case]]:
    """A case of which Hypothesis draws every part: what fails, it simplifies."""
    return st.randoms(use_true_random=False).map(lambda draw: [generator(draw)])


def hundred(generator: Generator[Case]) -> st.SearchStrategy[list[Case]]:
    """A hundred cases of which Hypothesis draws the seed.

    Takes a fraction of the time that it takes to draw every part. Lists of `one` would not do:
    Hypothesis mostly changes an example that it has, here one case of many, so that four of five
    cases have been there before.
    """
    return st.randoms(use_true_random=True).map(lambda draw: [generator(draw) for _ in range(100)])


def grpc_request(draw: random.Random) -> tuple[str, bytes]:
    """Method and bytes of a call."""
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: _valid_proto(draw),
        lambda: _mutated(draw, _valid_proto(draw)),
        lambda: _mutated(draw, _valid_proto(draw)),
        lambda: _odd_predict(draw),
        lambda: _odd_predict(draw),
        lambda: draw.randbytes(draw.randrange(200)),
    )
    return draw.choice(METHODS), draw.choice(kinds)()


def json_body(draw: random.Random) -> bytes:
    """Body of a REST request."""
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: json.dumps(draw.choice(BODIES)).encode(),
        lambda: json.dumps(_odd_json(draw, draw.choice(BODIES))).encode(),
        lambda: json.dumps(_odd_json(draw, draw.choice(BODIES))).encode(),
        lambda: json.dumps(_tree(draw, 4)).encode(),
        lambda: _mutated(draw, json.dumps(draw.choice(BODIES)).encode()),
        lambda: draw.choice((b"[", b'{"a":', b'{"inputs":[')) * draw.randrange(3000),
        lambda: draw.randbytes(draw.randrange(200)),
    )
    return draw.choice(kinds)()


def http_request(draw: random.Random) -> bytes:
    """A well-formed request of odd content."""
    path = draw.choice(PATHS) if draw.random() < 0.3 else PATHS[0]
    return http(path, json_body(draw), "POST" if draw.random() < 0.9 else "GET")


def http(path: str, body: bytes, method: str = "POST") -> bytes:
    """The bytes of a well-formed request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connection(draw: random.Random) -> bytes:
    """What comes over a connection that may not even be HTTP."""
    return _mutated(draw, http_request(draw)) if draw.random() < 0.8 else draw.randbytes(100)


def _valid_proto(draw: random.Random) -> bytes:
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "m"
    requests = (
        predict_request(history=[["a", "b"], ["c", ""]]),
        predict_request(signature="two", a=[[0.5, 1, 2]] * 2, b=[1, 2]),
        predict_request(version=1, history=[["a"]]),
        predict_request(version=1, history=[["a", "b", "c"]] * 40),
        predict_request(version=1, signature="two", a=[[0.5, 1, 2]] * 2, b=[1, 2]),
        status,
        metadata,
    )
    return draw.choice(requests).SerializeToString()


def _odd_predict(draw: random.Random) -> bytes:
    """A PredictRequest whose tensors are not what they say."""
    signature, names = draw.choice((("", ["history"]), ("two", ["a", "b"])))
    request: predict_pb2.PredictRequest = predict_request(signature=signature)
    if draw.random() < 0.1:
        names = [draw.choice(NAMES) for _ in range(3)]
    for name in names:
        proto = request.inputs[name]
        usual = {"history": 7, "a": 1, "b": 3}.get(name, 0)
        proto.dtype = usual if draw.random() < 0.7 else draw.randrange(-3, 130)
        _fill(draw, proto, {"history": 2, "a": 2, "b": 1}.get(name, 0))
    if draw.random() < 0.1:
        request.output_filter.append(draw.choice(NAMES))
    if draw.random() < 0.5:
        request.model_spec.version.value = 1 if draw.random() < 0.8 else draw.choice(SIZES)
    return request.SerializeToString()


def _fill(draw: random.Random, proto: tensor_pb2.TensorProto, rank: int) -> None:
    for _ in range(rank if draw.random() < 0.8 else draw.randrange(12)):
        proto.tensor_shape.dim.add().size = draw.choice(SIZES)
    proto.tensor_shape.unknown_rank = draw.random() < 0.05
    count = draw.choice((0, 1, 1, 2, 3, 6, 9))
    for field, value in (
        ("string_val", draw.randbytes(5)),
        ("float_val", draw.choice((1.0, float("nan"), float("inf")))),
        ("int_val", draw.choice((1, -1, (1 << 31) - 1))),
        ("int64_val", 1),
        ("half_val", 1),
        ("bool_val", True),
    ):
        if draw.random() < 0.5:
            getattr(proto, field).extend([value] * count)
    if draw.random() < 0.3:
        proto.tensor_content = draw.randbytes(draw.choice((0, 4, 12, 24)))


def _mutated(draw: random.Random, data: bytes) -> bytes:
    """The bytes with some of them changed, lost, doubled or cut off."""
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(result) + 1)
        match draw.randrange(5):
            case 0 if at < len(result):
                result[at] ^= 1 << draw.randrange(8)
            case 1:
                result[at:at] = draw.randbytes(draw.randrange(9))
            case 2:
                del result[at : at + draw.randrange(9)]
            case 3:
                result[at:at] = result[at : at + draw.randrange(40)]
            case 4 if draw.random() < 0.3:
                del result[at:]
    return bytes(result)


def _odd_json(draw: random.Random, value: Any) -> Any:
    """The document with one of its parts replaced."""
    if draw.random() < 0.15:
        return _tree(draw, 2)
    if isinstance(value, dict) and value:
        key = draw.choice(list(value))
        changed = {**value, key: _odd_json(draw, value[key])}
        if draw.random() < 0.1:
            changed[draw.choice(NAMES)] = changed.pop(key)
        return changed
    if isinstance(value, list) and value:
        at = draw.randrange(len(value))
        return [*value[:at], _odd_json(draw, value[at]), *value[at + draw.choice((0, 1, 1)) :]]
    return draw.choice(ATOMS)


def _tree(draw: random.Random, depth: int) -> Any:
    if depth == 0 or draw.random() < 0.3:
        return draw.choice(ATOMS)
    items = [_tree(draw, depth - 1) for _ in range(draw.randrange(4))]
    keys = ("inputs", "instances", "signature_name", *NAMES)
    return {draw.choice(keys): item for item in items} if draw.random() < 0.5 else items
