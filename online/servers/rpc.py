"""A model server's gRPC API."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio

from podway.online.servers import messages, trace
from podway.online.servers.answer import Answer, ServerError

_PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Rpc:
    """Asks by gRPC.

    Args:
      channel: of grpc.aio, which belongs to an event loop.
      types: input → its type, where it is not what the values are: {"age": "int32"}.
    """

    def __init__(self, channel: grpc.aio.Channel, types: Mapping[str, str] | None = None):
        self._types = types or {}
        self._predict = channel.unary_unary(
            _PREDICT,
            request_serializer=messages.PredictRequest.SerializeToString,
            response_deserializer=messages.PredictResponse.FromString,
        )

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        label: str = "",
        version: int | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """As `Server.predict`. An answer has the version that the server says."""
        request = messages.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        if label:
            request.model_spec.version_label = label
        elif version is not None:
            request.model_spec.version.value = version
        try:
            for name, rows in inputs.items():
                entry = request.inputs.add(key=name)
                messages.write(entry.value, rows, self._types.get(name, ""))
        except ValueError as error:
            raise ServerError("INVALID_ARGUMENT", f"input {name!r}: {error}") from error
        own = trace.current()
        metadata = ((trace.HEADER, own),) if own else None
        try:
            response = await self._predict(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise ServerError(error.code().name, error.details() or "") from error
        try:
            outputs = {each.key: messages.read(each.value) for each in response.outputs}
        except ValueError as error:
            raise ServerError("UNIMPLEMENTED", str(error)) from error
        spec = response.model_spec
        return Answer(outputs, spec.version.value if spec.HasField("version") else None)


@contextlib.asynccontextmanager
async def connected(address: str, types: Mapping[str, str] | None = None) -> AsyncIterator[Rpc]:
    """A server at HOST:PORT, for the time of a block."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield Rpc(channel, types)
