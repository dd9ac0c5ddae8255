"""FastAPI: a plain function as the endpoint, which FastAPI calls in its thread pool."""
# pyright: reportMissingImports=false
# (it runs in an environment of its own)

from fastapi import FastAPI
from pydantic import BaseModel
from recommender import PATH, Recommender


class Instance(BaseModel):
    history: list[str]


class Request(BaseModel):
    instances: list[Instance]


class Recommendation(BaseModel):
    item: list[str]
    score: list[float]


class Response(BaseModel):
    predictions: list[Recommendation]


app = FastAPI()
recommend = Recommender()


@app.post(PATH)
def predict(request: Request) -> Response:
    answers = recommend([instance.history for instance in request.instances])
    return Response(predictions=[Recommendation(**answer) for answer in answers])
