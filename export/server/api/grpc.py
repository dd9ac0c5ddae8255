"""TensorFlow Serving's gRPC API: PredictionService and ModelService."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from podway.export.server.api import inference
from podway.export.server.api.inference import describe, target
from podway.export.server.error import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    RequestError,
)
from podway.export.server.models.manager import Models, Version
from podway.export.server.models.reload import reload
from podway.export.server.models.watch import Watch
from podway.export.server.runtime import tensors
from podway.export.server.runtime.servable import Signature
from podway.export.server.siblings import Siblings

log = logging.getLogger(__name__)

SIGNATURE_DEF = "signature_def"

_NO_TIME = 0.05
"""Seconds: a client gives up at its deadline, which may be a moment before the server sees it."""

Method = Callable[[Models, Any], Awaitable[Any]]


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, models: Models):
        self._models = models

    async def Predict(self, request, context) -> predict_pb2.PredictResponse:
        """Runs a signature of a model."""
        return await _answer(predict, self._models, request, context, "Predict")

    async def Classify(self, request, context) -> classification_pb2.ClassificationResponse:
        """Classes of tf.Examples."""
        return await _answer(inference.classify, self._models, request, context, "Classify")

    async def Regress(self, request, context) -> regression_pb2.RegressionResponse:
        """A number for each tf.Example."""
        return await _answer(inference.regress, self._models, request, context, "Regress")

    async def MultiInference(self, request, context) -> inference_pb2.MultiInferenceResponse:
        """Several signatures' classes or numbers for the same tf.Examples."""
        return await _answer(inference.multi_inference, self._models, request, context)

    async def GetModelMetadata(
        self, request, context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a model."""
        return await _answer(metadata, self._models, request, context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, models: Models, watch: Watch, siblings: Siblings):
        self._models = models
        self._watch = watch
        self._siblings = siblings

    async def GetModelStatus(self, request, context) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions."""
        return await _answer(self._status, self._models, request, context)

    async def HandleReloadConfigRequest(
        self, request, context
    ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the config; answers once its versions are available or have failed."""
        return await _answer(self._reload, self._models, request, context)

    async def _status(self, models: Models, request: get_model_status_pb2.GetModelStatusRequest):
        return await status(models, self._siblings, request)

    async def _reload(self, models: Models, request: model_management_pb2.ReloadConfigRequest):
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
        await reload(self._watch, models, request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, value in zip(request.metric_names, before, strict=True):
            response.metric.add(
                name=name, int64_value_increase=models.metrics.counted(name) - value
            )
        return response


async def predict(models: Models, request: predict_pb2.PredictRequest):
    """PredictRequest → PredictResponse. Raises RequestError."""
    with models.lease(*target(request)) as version:
        assert version.servable is not None
        signature = version.servable.signature(request.model_spec.signature_name)
        wanted = _filter(request.output_filter, signature)
        inputs = tensors.decode(request.inputs, signature.inputs)
        outputs = await inference.run(models, version, signature, list(inputs.values()), "Predict")
        response = predict_pb2.PredictResponse()
        describe(response.model_spec, version, signature.name)
        for (name, spec), array in zip(signature.outputs.items(), outputs, strict=True):
            if name in wanted:
                tensors.encode(array, spec.dtype, response.outputs[name])
        return response


async def metadata(models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest):
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


async def _answer(
    method: Method,
    models: Models,
    request: Any,
    context: grpc.aio.ServicerContext,
    api: str = "",
) -> Any:
    """The method's response, or its error as a status; counted and timed as `api`.

    gRPC cancels this when the request's deadline has passed, or the client has gone: the request
    leaves the queue.
    """
    start = time.perf_counter()
    try:
        response = await method(models, request)
        if api:
            models.answered(request.model_spec.name, "OK")
            seconds = time.perf_counter() - start
            models.metrics.took(request.model_spec.name, api, "GRPC", seconds)
        return response
    except asyncio.CancelledError:
        if api:
            left = context.time_remaining()
            late = left is not None and left < _NO_TIME
            code = DEADLINE_EXCEEDED if late else CANCELLED
            models.answered(request.model_spec.name, code.name)
        raise
    except RequestError as error:
        code, message = error.code, error.message
    except Exception as error:
        log.exception("%s failed", method)
        code, message = INTERNAL, f"{type(error).__name__}: {error}"
    if api:
        models.answered(request.model_spec.name, code.name)
    await context.abort(code, message)
