"""TensorFlow Serving's gRPC API: Predict, GetModelMetadata, GetModelStatus."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.server import tensors
from export.server.error import INTERNAL, INVALID_ARGUMENT, RequestError
from export.server.models import Models, Version
from export.server.servable import Signature

log = logging.getLogger(__name__)

SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, models: Models):
        self._models = models

    async def Predict(self, request, context) -> predict_pb2.PredictResponse:
        """Runs a signature of a model."""
        return await _answer(predict, self._models, request, context)

    async def GetModelMetadata(
        self, request, context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a model."""
        return await _answer(metadata, self._models, request, context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, models: Models):
        self._models = models

    async def GetModelStatus(self, request, context) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions."""
        return await _answer(status, self._models, request, context)


async def predict(models: Models, request: predict_pb2.PredictRequest):
    """PredictRequest → PredictResponse. Raises RequestError."""
    with models.lease(*_target(request)) as version:
        assert version.servable is not None
        signature = version.servable.signature(request.model_spec.signature_name)
        wanted = _filter(request.output_filter, signature)
        inputs = tensors.decode(request.inputs, signature.inputs)
        outputs = await version.batchers[signature.name].run(list(inputs.values()))
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, version, signature.name)
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
    with models.lease(*_target(request)) as version:
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _describe(response.model_spec, version)
        response.metadata[SIGNATURE_DEF].Pack(signature_defs(version))
        return response


async def status(models: Models, request: get_model_status_pb2.GetModelStatusRequest):
    """GetModelStatusRequest → GetModelStatusResponse. Raises RequestError."""
    return states(models.status(*_target(request)))


def states(versions: Iterable[Version]) -> get_model_status_pb2.GetModelStatusResponse:
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


def _describe(spec: model_pb2.ModelSpec, version: Version, signature: str = "") -> None:
    spec.name = version.model
    spec.version.value = version.number
    spec.signature_name = signature


def _target(request: Any) -> tuple[str, int | None, str]:
    """Name, version and label of the model that a request is for."""
    if not request.HasField("model_spec"):
        raise RequestError(INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    return spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label


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


async def _answer(
    method: Callable[[Models, Any], Awaitable[Any]],
    models: Models,
    request: Any,
    context: grpc.aio.ServicerContext,
) -> Any:
    """The method's response, or its error as a status.

    gRPC cancels this when the request's deadline has passed, or the client has gone: the request
    leaves the queue.
    """
    try:
        return await method(models, request)
    except RequestError as error:
        code, message = error.code, error.message
    except Exception as error:
        log.exception("%s failed", method.__name__)
        code, message = INTERNAL, f"{type(error).__name__}: {error}"
    await context.abort(code, message)
