"""MLServer: a custom handler, which takes and gives any JSON; no worker process beside it."""
# pyright: reportMissingImports=false
# (it runs in an environment of its own)

import asyncio
import json

from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler
from recommender import PATH, Recommender


class Recommend(MLModel):
    async def load(self) -> bool:
        self.recommend = Recommender()
        return True

    @custom_handler(rest_path=PATH)
    async def recommend_all(self, request: Request) -> Response:
        body = await request.json()
        histories = [instance["history"] for instance in body["instances"]]
        answers = await asyncio.to_thread(self.recommend, histories)
        return Response(json.dumps({"predictions": answers}), media_type="application/json")
