"""Asks a running server (TensorFlow Serving or the embedded one) whether a version serves."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import time

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from podway.export.error import ExportError

State = get_model_status_pb2.ModelVersionStatus.State

PATIENCE = 10.0
"""Seconds in which a server must answer, and in which what it says of an earlier attempt to load
the version is not believed yet: it looks at its config from time to time only."""


def wait(address: str, name: str, version: int, *, timeout: float, poll: float = 0.2) -> None:
    """Returns when the version is AVAILABLE.

    Raises ExportError where the server does not answer, could not load the version, or takes more
    than `timeout` seconds.
    """
    start, loading, last = time.monotonic(), False, "it has not heard of the version"
    with grpc.insecure_channel(address) as channel:
        ask = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
        while True:
            waited = time.monotonic() - start
            try:
                status = ask(_request(name, version), timeout=PATIENCE).model_version_status[0]
            except grpc.RpcError as error:
                code, details = error.code(), error.details()  # pyright: ignore
                if code != grpc.StatusCode.NOT_FOUND and waited > PATIENCE:
                    raise ExportError(
                        f"--server {address} does not answer ({code.name}: {details}); give"
                        " HOST:PORT of the server's gRPC"
                    ) from error
            else:
                if status.state == State.AVAILABLE:
                    return
                loading |= status.state in (State.START, State.LOADING)
                last = f"its state is {State.Name(status.state)}"
                failed = status.state == State.END and status.status.error_code
                if failed and (loading or waited > PATIENCE):
                    raise ExportError(
                        f"{address} could not load {name} version {version}:"
                        f" {status.status.error_message}"
                    )
            if waited > timeout:
                raise ExportError(
                    f"{address} does not serve {name} version {version} after {timeout:g} s"
                    f" (--timeout): {last}. Does it watch the models.config of --workdir"
                    " (--model_config_file_poll_wait_seconds)?"
                )
            time.sleep(poll)


def _request(name: str, version: int) -> get_model_status_pb2.GetModelStatusRequest:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    request.model_spec.version.value = version
    return request
