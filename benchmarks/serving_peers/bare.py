"""Empty servers, which send everybody the same bytes: what no server on their libraries beats."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import grpc
import uvloop
from aiohttp import web

from benchmarks import serving


def answer_rest(pipe: Connection, answer: bytes) -> None:
    """A bare server on aiohttp's lowest layer, which the embedded server is built on."""

    async def respond(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=answer, content_type="application/json")

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(respond, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    uvloop.run(serve())


def answer_grpc_threads(pipe: Connection, answer: bytes) -> None:
    """A bare gRPC server of threads, not on an event loop."""

    def predict(request: bytes, context: grpc.ServicerContext) -> bytes:
        return answer

    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((serving.predict_handler(predict),))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()
