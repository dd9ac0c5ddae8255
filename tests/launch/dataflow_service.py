"""Dataflow on loopback: receives jobs as Google does, and can run what was staged."""

import contextlib
import dataclasses
import http.server
import json
import pathlib
import sys
import threading
from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import gcs


@dataclasses.dataclass
class Service:
    """The jobs API: what it was asked, and what it says of the one job."""

    url: str = ""
    jobs: list[dict] = dataclasses.field(default_factory=list)
    polls: int = 0
    state: str = "JOB_STATE_RUNNING"

    def answer(self, method: str, path: str, body: bytes) -> dict:
        if path == "/token":
            return {"access_token": "none", "expires_in": 3600, "token_type": "Bearer"}
        if method == "POST":
            self.jobs.append(json.loads(body))
        else:
            self.polls += 1
        return {"id": "job-1", "name": self.jobs[-1]["name"], "currentState": self.state}

    def pipeline(self) -> str:
        """Where the newest job's pipeline was staged."""
        return self.jobs[-1]["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]

    def credentials(self, folder: pathlib.Path) -> dict[str, str]:
        """Environment of a process that has an account here."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        account = {
            "type": "service_account",
            "client_email": "test@test.iam.gserviceaccount.com",
            "private_key_id": "1",
            "private_key": key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            "token_uri": f"{self.url}/token",
            "project_id": "test-project",
        }
        file = folder / "account.json"
        file.write_text(json.dumps(account))
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


@contextlib.contextmanager
def running() -> Iterator[Service]:
    """A service of its own."""
    service = Service()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = json.dumps(service.answer(self.command, self.path, body)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service.url = f"http://localhost:{server.server_port}"
        yield service
        server.shutdown()
        thread.join()


def execute(store: gcs.Store, pipeline: str, datasets: str) -> tuple[str, dict, dict]:
    """Runs a staged pipeline in a process of its own, as Dataflow's workers would.

    Returns fingerprint, details and commit of the one dataset below the folder `datasets`.
    """
    done = store.run("-m", "tests.launch.dataflow_service", pipeline, datasets)
    assert done.returncode == 0, done.stderr
    (version,) = {name.partition("/")[0] for name in store.names(datasets)}
    fingerprint, details, git = json.loads(done.stdout)[version]
    return fingerprint, details, git


def _execute(path: str, datasets: str) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability import python_urns
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
    from etils import epath

    from podway.beam import overview
    from podway.framework import artifact

    proto = beam_runner_api_pb2.Pipeline.FromString(epath.Path(path).read_bytes())
    for environment in proto.components.environments.values():
        environment.urn = python_urns.EMBEDDED_PYTHON  # instead of the image
        environment.ClearField("dependencies")
    FnApiRunner().run_via_runner_api(proto, PipelineOptions([]))
    found = {}
    for folder in epath.Path(datasets).iterdir():
        manifest = artifact.read(folder, "dataset")
        found[folder.name] = [overview.fingerprint(manifest), manifest.details, manifest.git]
    print(json.dumps(found))


if __name__ == "__main__":
    _execute(*sys.argv[1:])
