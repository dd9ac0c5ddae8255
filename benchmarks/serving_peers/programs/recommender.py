"""The SavedModel, called as TensorFlow's guide calls it. What the peers share."""

import os

import tensorflow as tf

PATH = os.environ["PEER_PATH"]
PORT = int(os.environ["PEER_PORT"])


class Recommender:
    """Histories in, {"item": […], "score": […]} of each out."""

    def __init__(self):
        self._model = tf.saved_model.load(os.environ["PEER_MODEL"])
        self._recommend = self._model.signatures["serving_default"]

    def __call__(self, histories: list[list[str]]) -> list[dict[str, list]]:
        longest = max(map(len, histories))
        rows = [history + [""] * (longest - len(history)) for history in histories]
        outputs = self._recommend(history=tf.constant(rows, tf.string))
        items, scores = outputs["item"].numpy(), outputs["score"].numpy().tolist()
        return [
            {"item": [item.decode() for item in row], "score": score}
            for row, score in zip(items, scores, strict=True)
        ]
