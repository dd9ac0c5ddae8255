"""The page of a service on a port of its own: /livez, /readyz and /metrics."""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client.registry import CollectorRegistry

from podway.online.error import OnlineError

READY = ""


@contextlib.contextmanager
def page(
    host: str, port: int, registry: CollectorRegistry, problem: Callable[[], str]
) -> Iterator[int]:
    """Serves the page for the time of a block; gives the port.

    Args:
      host: address to listen on.
      port: 0: any free one.
      registry: its metrics.
      problem: READY, or in a few words why the service is not; asked at each /readyz.

    Raises:
      OnlineError: it cannot listen there.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.split("?")[0]:
                case "/livez" | "/healthz":
                    self._answer(200, b"ok\n")
                case "/readyz":
                    why = problem()
                    self._answer(503 if why else 200, f"{why or 'ok'}\n".encode())
                case "/metrics":
                    kind = prometheus_client.CONTENT_TYPE_LATEST
                    self._answer(200, prometheus_client.generate_latest(registry), kind)
                case path:
                    said = f"no page {path}; there are /livez, /readyz and /metrics\n"
                    self._answer(404, said.encode())

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing of each look."""

    try:
        server = http.server.ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise OnlineError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); give another --port, or"
            " 0 for any free one"
        ) from None
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="page")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
