"""The REST API: POST and GET /v1/recommend, POST /v1/events, and a balancer's health checks.

    POST /v1/recommend   {"user": "u7", "items": ["i1"], "k": 10, "exclude": ["i9"]}
    GET  /v1/recommend?user=u7&items=i1&items=i2&k=10
    POST /v1/events      {"id": "e1", "type": "click", …} or [{…}, {…}]

Errors are {"error": …}: 400 for what is wrong with a request, 401, 413, 429, 503.
"""

import dataclasses
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from podway.online.gateway import request as requests
from podway.online.gateway.door.access import Door, Refused
from podway.online.gateway.door.ask import Desk
from podway.online.gateway.door.events import Collector, Unpublished, split
from podway.online.gateway.request import LISTS, RequestError
from podway.online.servers import trace

_LOG = logging.getLogger(__name__)
PROTOCOL = "REST"
DRAINING = "it is about to end"
PATH, EVENTS = "/v1/recommend", "/v1/events"
_LARGEST = 1 << 20
_JSON = "application/json"

Work = Callable[[web.Request, str, str], Awaitable[tuple[int, bytes]]]
"""Request, own span and client → status and body."""


def application(
    desk: Desk, door: Door, most: int, problem: Callable[[], str], collector: Collector | None
) -> web.Application:
    """The API.

    Args:
      desk: answers.
      door: lets in.
      most: items that a request may ask for.
      problem: "", or why it is not ready.
      collector: takes events; None: nobody does.
    """

    async def reply(http: web.Request, work: Work) -> web.Response:
        """What `work` makes of a request that is let in, or why there is none."""
        own = trace.child(http.headers.get(trace.HEADER, ""))
        wait = 0.0
        try:
            client = door.let_in(http.headers.get, http.remote or "")
            status, body = await work(http, own, client)
        except Refused as error:
            status, body, wait = error.status, _error(str(error)), error.wait
            desk.refused(PROTOCOL, error.code, error.code)
        except RequestError as error:
            status, body = 400, _error(str(error))
            desk.refused(PROTOCOL, "INVALID_ARGUMENT", "the request is wrong")
        except Unpublished as error:
            status, body, wait = 503, _error(str(error)), error.wait
            desk.refused(PROTOCOL, "UNAVAILABLE", "events wait for the queue")
        except web.HTTPException as error:
            status, body = error.status, _error(error.reason)
            desk.refused(PROTOCOL, f"HTTP_{error.status}", error.reason)
        except Exception as error:
            _LOG.exception("a request failed")
            status, body = 500, _error(f"the gateway failed: {type(error).__name__}")
            desk.refused(PROTOCOL, "INTERNAL", type(error).__name__)
        response = web.Response(
            body=body, status=status, content_type=_JSON, headers={trace.HEADER: own}
        )
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if problem() == DRAINING:
            response.force_close()  # the next request of this connection finds another gateway
        if wait:
            response.headers["Retry-After"] = str(math.ceil(wait))
        return response

    async def recommended(http: web.Request, own: str, client: str) -> tuple[int, bytes]:
        given = _query(http) if http.method == "GET" else _object(await http.read())
        request = requests.of(given, most=most, trace=own, client=client)
        return 200, (await desk.answer(request, PROTOCOL)).body()

    async def recommend(http: web.Request) -> web.Response:
        return await reply(http, recommended)

    async def collected(http: web.Request, _: str, __: str) -> tuple[int, bytes]:
        assert collector is not None
        taken = await collector.take(split(await http.read()))
        desk.metrics.requests.labels(PROTOCOL, "OK" if taken.accepted else "INVALID_ARGUMENT").inc()
        said: dict[str, Any] = {
            "accepted": taken.accepted,
            "refused": [dataclasses.asdict(each) for each in taken.refused],
        }
        if not taken.accepted:
            said["error"] = f"no event is taken; the first: {taken.refused[0].why}"
        return (200 if taken.accepted else 400), orjson.dumps(said)

    async def collect(http: web.Request) -> web.Response:
        return await reply(http, collected)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        why = problem()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    app = web.Application(client_max_size=_LARGEST)
    app.router.add_post(PATH, recommend)
    app.router.add_get(PATH, recommend)
    if collector is not None:
        app.router.add_post(EVENTS, collect)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    return app


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise RequestError(f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise RequestError('the body is no JSON object; send {"user": …}')
    return found


def _query(http: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in http.query:
        values = http.query.getall(name)
        if name in LISTS:
            found[name] = values
        elif len(values) > 1:
            raise RequestError(f"{name} is there {len(values)} times; give it once")
        else:
            found[name] = values[0]
    return found


def _error(text: str) -> bytes:
    return orjson.dumps({"error": text})
