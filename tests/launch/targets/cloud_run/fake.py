"""Cloud Run on loopback: the real client, gRPC and messages, and a service that only remembers.

No cloud is behind it: it says of every revision that it serves, unless it is told otherwise.
"""

import concurrent.futures
import contextlib
from collections.abc import Iterator

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2
from google.rpc import status_pb2

_PREFIX = "/google.cloud.run.v2."


class FakeCloudRun(grpc.GenericRpcHandler):
    """What was made, and every request.

    Attributes:
      calls: the methods that were called, in order.
      services: name → service.
      revisions: names.
      jobs: name → job.
      executions: what get_execution answers, one after the other.
      refusal: (code, text) with which every call ends; None: none does.
      broken: names of revisions that never serve.
    """

    def __init__(self):
        self.calls: list[str] = []
        self.requests: list[object] = []
        self.services: dict[str, run_v2.Service] = {}
        self.revisions: list[str] = []
        self.jobs: dict[str, run_v2.Job] = {}
        self.executions: list[run_v2.Execution] = []
        self.running: list[run_v2.Execution] = []
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.broken: set[str] = set()

    def service(self, details):
        if not details.method.startswith(_PREFIX):
            return None
        method = details.method.rpartition("/")[2]

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append(method)
            if self.refusal:
                context.abort(*self.refusal)
            return getattr(self, f"_{method}")(request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _GetService(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        name = run_v2.GetServiceRequest.deserialize(request).name
        if name not in self.services:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {name}")
        return run_v2.Service.serialize(self.services[name])

    def _ListRevisions(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        parent = run_v2.ListRevisionsRequest.deserialize(request).parent
        if parent not in self.services:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {parent}")
        made = [run_v2.Revision(name=f"{parent}/revisions/{each}") for each in self.revisions]
        return run_v2.ListRevisionsResponse.serialize(run_v2.ListRevisionsResponse(revisions=made))

    def _CreateService(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        wanted = run_v2.CreateServiceRequest.deserialize(request)
        wanted.service.name = f"{wanted.parent}/services/{wanted.service_id}"
        return self._put(wanted.service)

    def _UpdateService(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return self._put(run_v2.UpdateServiceRequest.deserialize(request).service)

    def _put(self, service: run_v2.Service) -> bytes:
        revision = service.template.revision
        if revision in self.broken:
            error = status_pb2.Status(code=9, message=f"Revision {revision} is not ready")
            return operations_pb2.Operation(name="o", done=True, error=error).SerializeToString()
        if revision not in self.revisions:
            self.revisions.append(revision)
        unknown = {each.revision for each in service.traffic} - {*self.revisions}
        assert not unknown, f"traffic for revisions that are not there: {unknown}"
        service.uri = "https://shop-x.a.run.app"
        self.services[service.name] = service
        self.requests.append(service)
        return _done("Service", run_v2.Service.serialize(service))

    def _UpdateJob(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        wanted = run_v2.UpdateJobRequest.deserialize(request)
        if wanted.job.name not in self.jobs and not wanted.allow_missing:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {wanted.job.name}")
        self.jobs[wanted.job.name] = wanted.job
        return _done("Job", run_v2.Job.serialize(wanted.job))

    def _ListExecutions(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return run_v2.ListExecutionsResponse.serialize(
            run_v2.ListExecutionsResponse(executions=self.running)
        )

    def _RunJob(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        name = run_v2.RunJobRequest.deserialize(request).name
        execution = run_v2.Execution(name=f"{name}/executions/e1")
        metadata = _packed("Execution", run_v2.Execution.serialize(execution))
        return operations_pb2.Operation(name="o", metadata=metadata).SerializeToString()

    def _GetExecution(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        now = self.executions.pop(0) if len(self.executions) > 1 else self.executions[0]
        return run_v2.Execution.serialize(now)


def _packed(kind: str, value: bytes) -> any_pb2.Any:
    return any_pb2.Any(type_url=f"type.googleapis.com/google.cloud.run.v2.{kind}", value=value)


def _done(kind: str, value: bytes) -> bytes:
    operation = operations_pb2.Operation(name="o", done=True, response=_packed(kind, value))
    return operation.SerializeToString()


@contextlib.contextmanager
def serving(fake: FakeCloudRun) -> Iterator[str]:
    """The fake, by its address."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[fake])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
