"""Which evaluator a model has: the one place that knows all kinds."""

from podway.framework import config, task
from podway.framework.evaluation.evaluator import Evaluator, OwnEvaluator
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.evaluation.recommendation import RankingEvaluator


def evaluator_of(model: config.Model, options: config.Evaluation) -> Evaluator:
    """The model's own evaluator, if it brings one; else that of its kind: labels or items."""
    if isinstance(model, OwnEvaluator):
        return model.evaluator(options)
    if isinstance(model, task.LabelModel):
        return LabelEvaluator(model, options)
    return RankingEvaluator(task.of_kind(model, task.Recommender), options)
