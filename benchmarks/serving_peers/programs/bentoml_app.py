"""BentoML: one worker, and its adaptive batching, which merges the instances of requests."""
# pyright: reportMissingImports=false
# (it runs in an environment of its own)

import bentoml
from pydantic import BaseModel
from recommender import PATH, Recommender


class Instance(BaseModel):
    history: list[str]


class Recommendation(BaseModel):
    item: list[str]
    score: list[float]


@bentoml.service(workers=1, traffic={"timeout": 60})
class Recommend:
    def __init__(self):
        self.recommend = Recommender()

    @bentoml.api(route=PATH, batchable=True, max_batch_size=64)
    def predict(self, instances: list[Instance]) -> list[Recommendation]:
        answers = self.recommend([instance.history for instance in instances])
        return [Recommendation(**answer) for answer in answers]
