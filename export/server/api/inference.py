"""Classify, Regress and MultiInference, and what they share with Predict.

Requests and responses are TensorFlow Serving's protos, whichever API they came by.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from podway.export.server.api import aside
from podway.export.server.batching import merge
from podway.export.server.error import INVALID_ARGUMENT, RequestError
from podway.export.server.limits import SMALL
from podway.export.server.models.manager import Models, Version
from podway.export.server.runtime import classify_regress
from podway.export.server.runtime.servable import Signature

_FEW = 8192
"""Values of an answer."""


async def classify(
    models: Models, request: classification_pb2.ClassificationRequest, size: int = 0
):
    """ClassificationRequest, of so many bytes → ClassificationResponse. Raises RequestError."""
    with models.lease(*target(request)) as version:
        assert version.servable is not None
        signature = classify_regress.classifier(version.servable, request.model_spec.signature_name)
        given = await _serialize(models, request.input, size)
        outputs = await run(models, version, signature, [given], "Classify")
        result = classify_regress.classifications(len(given), name_outputs(signature, outputs))
        response = classification_pb2.ClassificationResponse(result=result)
        describe(response.model_spec, version, signature.name)
        return response


async def regress(models: Models, request: regression_pb2.RegressionRequest, size: int = 0):
    """RegressionRequest, of so many bytes → RegressionResponse. Raises RequestError."""
    with models.lease(*target(request)) as version:
        assert version.servable is not None
        signature = classify_regress.regressor(version.servable, request.model_spec.signature_name)
        given = await _serialize(models, request.input, size)
        outputs = await run(models, version, signature, [given], "Regress")
        result = classify_regress.regressions(len(given), name_outputs(signature, outputs))
        response = regression_pb2.RegressionResponse(result=result)
        describe(response.model_spec, version, signature.name)
        return response


async def multi_inference(
    models: Models, request: inference_pb2.MultiInferenceRequest, size: int = 0
):
    """MultiInferenceRequest, of so many bytes → MultiInferenceResponse. Raises RequestError.

    The first task says which version answers them all. Each signature joins its own batch, where
    TensorFlow Serving runs their outputs at once; the values are the same.
    """
    spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    with models.lease(*_model(spec)) as version:
        assert version.servable is not None
        tasks = classify_regress.tasks(version.servable, request)
        given = await _serialize(models, request.input, size)
        runs = [run(models, version, signature, [given]) for _, signature in tasks]
        response = inference_pb2.MultiInferenceResponse()
        for (task, signature), outputs in zip(tasks, await asyncio.gather(*runs), strict=True):
            result = response.results.add()
            values = name_outputs(signature, outputs)
            if task.method_name == classify_regress.CLASSIFY:
                answer = classify_regress.classifications(len(given), values)
                result.classification_result.CopyFrom(answer)
            else:
                result.regression_result.CopyFrom(classify_regress.regressions(len(given), values))
            describe(result.model_spec, version, signature.name)
        models.metrics.examples(version.model, len(given))
        return response


async def run(
    models: Models, version: Version, signature: Signature, inputs: Sequence[np.ndarray], api=""
) -> Sequence[np.ndarray]:
    """The signature's outputs, by its queue; times the run as `api`. Raises RequestError."""
    if signature.batched:
        models.limits.check_rows(merge.rows_of(inputs))
    start = time.perf_counter()
    outputs = await version.batchers[signature.name].run(inputs)
    if api:
        models.metrics.ran(version.model, api, time.perf_counter() - start)
    models.observe(version, signature, inputs, outputs)
    return outputs


def few(size: int, outputs: Sequence[np.ndarray]) -> bool:
    """Whether the outputs of a request of so many bytes take no time to write."""
    return size <= SMALL and sum(array.size for array in outputs) <= _FEW


async def _serialize(models: Models, given: input_pb2.Input, size: int) -> np.ndarray:
    limits = models.limits
    if size <= SMALL:
        return classify_regress.serialize(given, limits)
    return await aside.run(lambda check: classify_regress.serialize(given, limits))


def name_outputs(signature: Signature, outputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs in the signature's order → by name."""
    return dict(zip(signature.outputs, outputs, strict=True))


def describe(spec: model_pb2.ModelSpec, version: Version, signature: str = "") -> None:
    """Writes into a response which model answered."""
    spec.name = version.model
    spec.version.value = version.number
    spec.signature_name = signature


def target(request: Any) -> tuple[str, int | None, str]:
    """Name, version and label of the model that a request is for. Raises RequestError."""
    if not request.HasField("model_spec"):
        raise RequestError(INVALID_ARGUMENT, "Missing ModelSpec")
    return _model(request.model_spec)


def _model(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str]:
    return spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label
