"""TensorFlow Serving's gRPC API: PredictionService and ModelService."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from podway.export.server.api import aside, inference, wire
from podway.export.server.api.inference import describe, target
from podway.export.server.error import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    RequestError,
)
from podway.export.server.limits import SMALL
from podway.export.server.models.manager import Models, Version
from podway.export.server.models.reload import reload
from podway.export.server.models.rights import Rights
from podway.export.server.models.watch import Watch
from podway.export.server.runtime import tensors
from podway.export.server.runtime.servable import Signature
from podway.export.server.siblings import Siblings

log = logging.getLogger(__name__)

SIGNATURE_DEF = "signature_def"

_NO_TIME = 0.05
"""Seconds: a client gives up at its deadline, which may be a moment before the server sees it."""

Method = Callable[[Models, Any, int], Awaitable[Any]]
"""Takes the models, the request and its size in bytes; gives a message, or one serialised."""


class PredictionService:
    """tensorflow.serving.PredictionService. Its methods take and give serialised messages."""

    def __init__(self, models: Models):
        self._models = models

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is given."""
        return _handlers(
            "tensorflow.serving.PredictionService",
            Predict=self.predict,
            Classify=self.classify,
            Regress=self.regress,
            MultiInference=self.multi_inference,
            GetModelMetadata=self.get_model_metadata,
        )

    async def predict(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Runs a signature of a model."""
        kind = predict_pb2.PredictRequest
        return await _answer(predict, self._models, kind, data, context, "Predict")

    async def classify(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Classes of tf.Examples."""
        kind = classification_pb2.ClassificationRequest
        return await _answer(inference.classify, self._models, kind, data, context, "Classify")

    async def regress(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """A number for each tf.Example."""
        kind = regression_pb2.RegressionRequest
        return await _answer(inference.regress, self._models, kind, data, context, "Regress")

    async def multi_inference(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Several signatures' classes or numbers for the same tf.Examples."""
        kind = inference_pb2.MultiInferenceRequest
        return await _answer(inference.multi_inference, self._models, kind, data, context)

    async def get_model_metadata(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """The signatures of a model."""
        kind = get_model_metadata_pb2.GetModelMetadataRequest
        return await _answer(metadata, self._models, kind, data, context)


class ModelService:
    """tensorflow.serving.ModelService. Its methods take and give serialised messages."""

    def __init__(self, models: Models, watch: Watch, siblings: Siblings, rights: Rights):
        self._models = models
        self._watch = watch
        self._siblings = siblings
        self._rights = rights

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is given."""
        return _handlers(
            "tensorflow.serving.ModelService",
            GetModelStatus=self.get_model_status,
            HandleReloadConfigRequest=self.handle_reload_config_request,
        )

    async def get_model_status(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """The states of a model's versions."""
        kind = get_model_status_pb2.GetModelStatusRequest
        return await _answer(self._status, self._models, kind, data, context)

    async def handle_reload_config_request(
        self, data: bytes, context: grpc.aio.ServicerContext
    ) -> bytes:
        """Replaces the config; answers once its versions are available or have failed."""
        if refusal := self._rights.refusal(context):
            await context.abort(refusal.code, refusal.message)
        kind = model_management_pb2.ReloadConfigRequest
        return await _answer(self._reload, self._models, kind, data, context)

    async def _status(
        self, models: Models, request: get_model_status_pb2.GetModelStatusRequest, size: int
    ):
        return await status(models, self._siblings, request)

    async def _reload(
        self, models: Models, request: model_management_pb2.ReloadConfigRequest, size: int
    ):
        """All workers follow the config; the metrics' increases are added up."""
        async with self._siblings.turn():
            own, *others = await _all(
                self._follow(models, request), *self._siblings.reload(request)
            )
        for other in others:
            for mine, theirs in zip(own.metric, other.metric, strict=True):
                mine.int64_value_increase += theirs.int64_value_increase
        return own

    async def _follow(self, models: Models, request: model_management_pb2.ReloadConfigRequest):
        before = [models.metrics.counted(name) for name in request.metric_names]
        await reload(self._watch, models, request.config, self._rights)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, value in zip(request.metric_names, before, strict=True):
            response.metric.add(
                name=name, int64_value_increase=models.metrics.counted(name) - value
            )
        return response


async def predict(models: Models, request: predict_pb2.PredictRequest, size: int) -> bytes:
    """PredictRequest, of so many bytes → PredictResponse, serialised. Raises RequestError."""
    with models.lease(*target(request)) as version:
        assert version.servable is not None
        signature = version.servable.signature(request.model_spec.signature_name)
        wanted = _filter(request.output_filter, signature)
        if size <= SMALL:
            inputs = tensors.decode(request.inputs, signature.inputs)
        else:
            inputs = await aside.run(lambda check: tensors.decode(request.inputs, signature.inputs))
        outputs = await inference.run(models, version, signature, list(inputs.values()), "Predict")
        if inference.few(size, outputs):
            return _encode(version, signature, wanted, outputs)
        return await aside.run(lambda check: _encode(version, signature, wanted, outputs))


def _encode(
    version: Version, signature: Signature, wanted: Iterable[str], outputs: Sequence[np.ndarray]
) -> bytes:
    response = predict_pb2.PredictResponse()
    describe(response.model_spec, version, signature.name)
    for (name, spec), array in zip(signature.outputs.items(), outputs, strict=True):
        if name in wanted:
            tensors.encode(array, spec.dtype, response.outputs[name])
    return response.SerializeToString()


async def metadata(
    models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest, size: int
):
    """GetModelMetadataRequest → GetModelMetadataResponse. Raises RequestError."""
    if not request.metadata_field:
        raise RequestError(
            INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise RequestError(INVALID_ARGUMENT, f"Metadata field {field} is not supported")
    with models.lease(*target(request)) as version:
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        describe(response.model_spec, version)
        response.metadata[SIGNATURE_DEF].Pack(signature_defs(version))
        return response


async def status(
    models: Models, siblings: Siblings, request: get_model_status_pb2.GetModelStatusRequest
):
    """GetModelStatusRequest → GetModelStatusResponse. Raises RequestError."""
    return await siblings.status(request, _states(models.status(*target(request))))


def _states(versions: Iterable[Version]) -> get_model_status_pb2.GetModelStatusResponse:
    """Versions as a GetModelStatusResponse."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in versions:
        entry = response.model_version_status.add(version=version.number, state=version.state)
        entry.status.error_code = grpc.StatusCode.UNKNOWN.value[0] if version.error else 0
        entry.status.error_message = version.error
    return response


def signature_defs(version: Version) -> get_model_metadata_pb2.SignatureDefMap:
    """What the metadata of an available version says."""
    assert version.servable is not None
    result = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.servable.signature_defs.items():
        result.signature_def[name].CopyFrom(definition)
    return result


def _filter(wanted: Iterable[str], signature: Signature) -> Iterable[str]:
    """The outputs that a request asks for; all, if it does not say."""
    wanted = list(wanted)
    for index, name in enumerate(wanted):
        if name not in signature.outputs:
            raise RequestError(
                INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {name} Outputs expected to be in"
                f" the set {{{','.join(signature.outputs)}}}.",
            )
        if name in wanted[:index]:
            raise RequestError(INVALID_ARGUMENT, f"duplicate output tensor alias: {name}")
    return wanted or signature.outputs


async def _all(*calls: Awaitable[Any]) -> list[Any]:
    """What they return, once all have returned; raises what the first of them that failed did."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _handlers(service: str, **methods: Callable[..., Awaitable[bytes]]) -> grpc.GenericRpcHandler:
    """The methods by name, each from bytes to bytes: `_answer` reads large ones beside the loop."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
    }
    return grpc.method_handlers_generic_handler(service, handlers)


async def _read(data: bytes, kind: type[Any], models: Models) -> Any:
    """A message of this class. Raises RequestError."""

    def parse(check: aside.Check) -> Any:
        wire.check(data, kind, models.limits, check)
        check()
        return kind.FromString(data)

    try:
        return kind.FromString(data) if len(data) <= SMALL else await aside.run(parse)
    except DecodeError as error:
        raise RequestError(
            INVALID_ARGUMENT, f"what was sent is no {kind.DESCRIPTOR.full_name}: {error}"
        ) from error


async def _answer(
    method: Method,
    models: Models,
    kind: type[Any],
    data: bytes,
    context: grpc.aio.ServicerContext,
    api: str = "",
) -> bytes:
    """The method's response to a request of this class, serialised, or its error as a status.

    Counted and timed as `api`. gRPC cancels this when the request's deadline has passed, or the
    client has gone: the request leaves the queue.
    """
    start, model = time.perf_counter(), ""
    try:
        request = await _read(data, kind, models)
        if api:
            model = request.model_spec.name
        response = await method(models, request, len(data))
        if api:
            models.answered(model, "OK")
            models.metrics.took(model, api, "GRPC", time.perf_counter() - start)
        return response if isinstance(response, bytes) else response.SerializeToString()
    except asyncio.CancelledError:
        if api:
            left = context.time_remaining()
            late = left is not None and left < _NO_TIME
            code = DEADLINE_EXCEEDED if late else CANCELLED
            models.answered(model, code.name)
        raise
    except RequestError as error:
        code, message = error.code, error.message
    except Exception as error:
        log.exception("%s failed", method)
        code, message = INTERNAL, f"{type(error).__name__}: {error}"
    if api:
        models.answered(model, code.name)
    await context.abort(code, message)
