"""TensorFlow Serving's REST API: predict, status, metadata, and errors as {"error": …}."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import json
import logging
import re
import urllib.parse

import grpc
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import model_pb2

from export.server import grpc_service, rest_json
from export.server.error import INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED, RequestError
from export.server.models import Models
from export.server.servable import DEFAULT_SIGNATURE, Servable, Signature

log = logging.getLogger(__name__)

_TARGET = r"/v1/models/([^/:]+)(?:/versions/(\d{1,20})|/labels/([^/:]+))?"
_POST = re.compile(_TARGET + r":(classify|regress|predict)")
_GET = re.compile(_TARGET + r"(/metadata)?")

_HTTP = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""HTTP status by gRPC status, as TensorFlow Serving has it; 500 for the others."""

Target = tuple[str, int | None, str]


class RestService:
    """Handles every request of the REST port."""

    def __init__(self, models: Models, *, timeout: float = 30.0):
        """Answers by 504 after `timeout` seconds."""
        self._models = models
        self._timeout = timeout

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """The response, errors included."""
        try:
            async with asyncio.timeout(self._timeout):
                return _json(await self._answer(request))
        except TimeoutError:
            return _json(_error(f"no answer within {self._timeout:g} s"), 504)
        except RequestError as error:
            return _json(_error(error.message), _HTTP.get(error.code, 500))
        except web.HTTPException as error:
            return _json(_error(error.text or error.reason), error.status)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return _json(_error(f"{type(error).__name__}: {error}"), _HTTP.get(INTERNAL, 500))

    async def _answer(self, request: web.BaseRequest) -> bytes:
        path = request.rel_url.raw_path
        if request.method == "POST" and (match := _POST.fullmatch(path)):
            *target, method = match.groups()
            if method != "predict":
                raise RequestError(UNIMPLEMENTED, f"{method} is not served; use predict")
            return await self._predict(_target(*target), await request.read())
        if request.method == "GET" and (match := _GET.fullmatch(path)):
            *target, metadata = match.groups()
            return (self._metadata if metadata else self._status)(_target(*target))
        raise RequestError(INVALID_ARGUMENT, f"Malformed request: {request.method} {path}")

    async def _predict(self, target: Target, body: bytes) -> bytes:
        with self._models.lease(*target) as version:
            assert version.servable is not None
            servable = version.servable
            parsed = rest_json.parse(body, lambda name: _signature(servable, name))
            outputs = await version.batchers[parsed.signature.name].run(parsed.inputs)
            return rest_json.render(parsed, outputs)

    def _status(self, target: Target) -> bytes:
        return _dump(_plain(grpc_service.states(self._models.status(*target))))

    def _metadata(self, target: Target) -> bytes:
        with self._models.lease(*target) as version:
            spec = model_pb2.ModelSpec(name=version.model)
            spec.version.value = version.number
            definitions = _plain(grpc_service.signature_defs(version))
            return _dump({"model_spec": _plain(spec), "metadata": {"signature_def": definitions}})


def _target(name: str, version: str | None, label: str | None) -> Target:
    number = int(version) if version else None
    return urllib.parse.unquote(name), number, urllib.parse.unquote(label or "")


def _signature(servable: Servable, name: str) -> Signature:
    """Like gRPC's, with the words and the code of TensorFlow Serving's REST API."""
    name = name or DEFAULT_SIGNATURE
    if signature := servable.signatures.get(name):
        return signature
    raise RequestError(
        INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def'
    )


def _plain(message: Message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _error(message: str) -> bytes:
    return _dump({"error": message})


def _dump(value: dict) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
