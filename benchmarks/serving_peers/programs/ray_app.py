"""Ray Serve: one replica, and its batching, which merges the requests that wait."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# (it runs in an environment of its own)

import signal

import ray
from ray import serve
from recommender import PORT, Recommender
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=64)
class Recommend:
    def __init__(self):
        self.recommend = Recommender()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
    async def answer(self, requests: list[list[list[str]]]) -> list[list[dict]]:
        answers = iter(self.recommend([history for request in requests for history in request]))
        return [[next(answers) for _ in request] for request in requests]

    async def __call__(self, request: Request) -> dict:
        body = await request.json()
        histories = [instance["history"] for instance in body["instances"]]
        return {"predictions": await self.answer(histories)}


if __name__ == "__main__":
    ray.init(include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT, "access_log": False})
    serve.run(Recommend.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
