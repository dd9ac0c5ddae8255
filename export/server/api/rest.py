"""TensorFlow Serving's REST API, and the page of metrics; errors are {"error": …}."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import dataclasses
import functools
import json
import logging
import re
import time
import urllib.parse

import grpc
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from podway.export.server.api import aside, body, inference, rest_examples, rest_json
from podway.export.server.api import grpc as grpc_service
from podway.export.server.error import (
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNAVAILABLE,
    RequestError,
)
from podway.export.server.limits import SMALL, Limits
from podway.export.server.models.manager import Models
from podway.export.server.runtime.servable import DEFAULT_SIGNATURE, Servable, Signature
from podway.export.server.siblings import Siblings

log = logging.getLogger(__name__)

LIVE, READY = "/livez", "/readyz"
PROBES = (LIVE, READY)
"""Paths for whoever watches the process: does it answer, and may it be asked for its models?"""

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
"""What TensorFlow Serving adds."""

_VERSION = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(rf"/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.IGNORECASE)
_ANY = re.compile("/v1/.*", re.IGNORECASE)

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

OK, UNSUPPORTED = 200, 415

_PATHS = 256
"""Paths that are kept as read: a server is asked for few."""

_MAX_DIGITS = 19  # of an int64

_HEADERS = {"Server": "podway-model-server"}  # aiohttp's own says its version

Target = tuple[str, int | None, str]


class RestService:
    """Handles every request of the REST port."""

    def __init__(
        self,
        models: Models,
        siblings: Siblings,
        *,
        metrics_path: str | None = None,
        timeout: float = 30.0,
        cors: bool = False,
    ):
        """Serves the metrics at `metrics_path`, unless None; answers by 504 after `timeout` s.

        With `cors` pages of other origins may call.
        """
        self._cors = cors
        self._models = models
        self._siblings = siblings
        self._metrics_path = metrics_path
        self._timeout = timeout
        self._limits: Limits = models.limits
        self._pending = body.Pending(models.limits.pending_bytes)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """The response, errors included."""
        response = await self._respond(request)
        if self._cors:
            response.headers.update(_CORS)
        return response

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        path = request.rel_url.raw_path
        if path in PROBES:
            return self._health(path)
        if path == self._metrics_path:
            page = await self._siblings.page(self._models.metrics.page())
            return web.Response(text=page, content_type="text/plain", headers=_HEADERS)
        if self._cors and request.method == "OPTIONS" and _ANY.fullmatch(path):
            return _preflight(request.headers.get("Origin", ""))
        if not _ANY.fullmatch(path):
            missing = error(f"Not Found: {request.method} {path}", _HTTP[NOT_FOUND])
            return _without_the_rest(request, missing)
        call = _Call.of("GET" if request.method == "HEAD" else request.method, path)
        start = time.perf_counter()
        answer, status, code = await self._answer(request, call)
        if status == OK:
            seconds = time.perf_counter() - start
            self._models.metrics.took(call.model, call.method, "REST", seconds)
        self._models.answered(call.model, code)
        response = _json(answer, status)
        if status == UNSUPPORTED:
            response.headers["Accept-Encoding"] = body.ENCODINGS
        return _without_the_rest(request, response)

    def _health(self, path: str) -> web.Response:
        """Whether the process answers, or (/readyz) whether every model does, in every worker."""
        if path == LIVE or (self._models.ready() and self._siblings.ready()):
            return _json(_dump({"status": "ok"}))
        missing = ", ".join(self._models.missing()) or "a worker's models"
        return _json(_error(f"not available yet: {missing}"), _HTTP[UNAVAILABLE])

    async def _answer(self, request: web.BaseRequest, call: "_Call") -> tuple[bytes, int, str]:
        """The body, the HTTP status and the name of the gRPC status."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._run(request, call), OK, "OK"
        except TimeoutError:
            return _error(f"no answer within {self._timeout:g} s"), 504, DEADLINE_EXCEEDED.name
        except RequestError as failed:
            status = failed.http or _HTTP.get(failed.code, 500)
            return _error(failed.message), status, failed.code.name
        except Exception as failed:
            log.exception("%s %s failed", request.method, request.path)
            return _error(f"{type(failed).__name__}: {failed}"), 500, INTERNAL.name

    async def _run(self, request: web.BaseRequest, call: "_Call") -> bytes:
        if call.kind == "":
            raise RequestError(
                INVALID_ARGUMENT,
                f"Malformed request: {request.method} {request.rel_url.raw_path}",
            )
        if call.kind == "GET":
            if not call.model:
                raise RequestError(INVALID_ARGUMENT, "Missing model name in request.")
            if call.metadata:
                return self._metadata(call.target())
            return await self._status(call.target())
        target = call.target()
        self._models.find(*target)  # who asks for no model need not send a body
        with body.of(request, self._limits, self._pending) as sent:
            content = await sent.read()
            if call.method == "classify":
                return await self._classify(target, content)
            if call.method == "regress":
                return await self._regress(target, content)
            return await self._predict(target, content)

    async def _classify(self, target: Target, content: bytes) -> bytes:
        name, given = await self._examples(content)
        request = classification_pb2.ClassificationRequest(input=given)
        _specify(request.model_spec, target, name)
        response = await inference.classify(self._models, request, len(content))
        return rest_examples.classifications(response.result)

    async def _regress(self, target: Target, content: bytes) -> bytes:
        name, given = await self._examples(content)
        request = regression_pb2.RegressionRequest(input=given)
        _specify(request.model_spec, target, name)
        response = await inference.regress(self._models, request, len(content))
        return rest_examples.regressions(response.result)

    async def _examples(self, content: bytes) -> tuple[str, input_pb2.Input]:
        if len(content) <= SMALL:
            return rest_examples.parse(content, self._limits)
        return await aside.run(lambda check: rest_examples.parse(content, self._limits, check))

    async def _predict(self, target: Target, content: bytes) -> bytes:
        with self._models.lease(*target) as version:
            assert version.servable is not None
            signature_of = functools.partial(_signature, version.servable)
            if len(content) <= SMALL:
                parsed = rest_json.parse(content, signature_of, self._limits)
            else:
                parsed = await aside.run(
                    lambda check: rest_json.parse(content, signature_of, self._limits, check)
                )
            outputs = await inference.run(
                self._models, version, parsed.signature, parsed.inputs, "Predict"
            )
            if inference.few(len(content), outputs):
                return rest_json.render(parsed, outputs)
            return await aside.run(lambda check: rest_json.render(parsed, outputs, check))

    async def _status(self, target: Target) -> bytes:
        request = get_model_status_pb2.GetModelStatusRequest()
        _specify(request.model_spec, target)
        return _dump(_plain(await grpc_service.status(self._models, self._siblings, request)))

    def _metadata(self, target: Target) -> bytes:
        with self._models.lease(*target) as version:
            spec = model_pb2.ModelSpec(name=version.model)
            spec.version.value = version.number
            definitions = _plain(grpc_service.signature_defs(version))
            return _dump({"model_spec": _plain(spec), "metadata": {"signature_def": definitions}})


@dataclasses.dataclass(frozen=True)
class _Call:
    """What a method and a path ask for.

    Attributes:
      kind: "POST", "GET" or, when they ask for nothing that there is, "".
      model: name of the model; "" where there is none.
      version: digits, or None.
      label: a version's label, or None.
      method: "classify", "regress" or "predict"; "" of a GET.
      metadata: whether a GET asks for the metadata, not the status.
    """

    kind: str
    model: str = ""
    version: str | None = None
    label: str | None = None
    method: str = ""
    metadata: bool = False

    @classmethod
    @functools.lru_cache(_PATHS)
    def of(cls, http_method: str, path: str) -> "_Call":
        """Reads a path as TensorFlow Serving does: case matters only to what it names."""
        if http_method == "POST" and (match := _POST.fullmatch(path)):
            name, version, label, method = match.groups()
            kind = "POST" if method.islower() else ""
            return cls(kind, urllib.parse.unquote(name), version, label, method)
        if http_method == "GET" and (match := _GET.fullmatch(path)):
            name, version, label, metadata = match.groups()
            name = urllib.parse.unquote(name or "")
            return cls("GET", name, version, label, metadata=metadata == "metadata")
        return cls("")

    def target(self) -> Target:
        """Name, version and label. Raises RequestError."""
        label = urllib.parse.unquote(self.label or "")
        if not self.version:
            return self.model, None, label
        if len(self.version) > _MAX_DIGITS or int(self.version) >= 1 << 63:
            raise RequestError(
                INVALID_ARGUMENT, f"Failed to convert version: {self.version} to numeric."
            )
        return self.model, int(self.version), label


def _preflight(origin: str) -> web.Response:
    """What a browser asks before it calls, answered as TensorFlow Serving does."""
    if re.search("https?://", origin):
        return _json(b"")
    return _json(_error("Origin header is missing in CORS preflight"), _HTTP[INVALID_ARGUMENT])


def _specify(spec: model_pb2.ModelSpec, target: Target, signature: str = "") -> None:
    spec.name, version, label = target
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label
    spec.signature_name = signature


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


def error(message: str, status: int) -> web.Response:
    """An answer that says what is wrong."""
    return _json(_error(message), status)


def _without_the_rest(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Ends the connection where a body has not been read, lest it be read for nothing."""
    if not request.content.is_eof():
        response.force_close()
    return response


def _error(message: str) -> bytes:
    return _dump({"error": message})


def _dump(value: dict) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _json(content: bytes, status: int = 200) -> web.Response:
    return web.Response(
        body=content, status=status, content_type="application/json", headers=_HEADERS
    )
