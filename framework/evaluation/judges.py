"""Which judge a model has: the one place that knows all kinds."""

from podway.framework import config, task
from podway.framework.evaluation.judge import Judge, OwnJudge
from podway.framework.evaluation.labels import LabelJudge
from podway.framework.evaluation.recommendation import RankingJudge


def judge_of(model: config.Model, options: config.Evaluation) -> Judge:
    """The model's own judge, if it brings one; else that of what it is: of labels, or of items."""
    if isinstance(model, OwnJudge):
        return model.judge(options)
    if isinstance(model, task.LabelModel):
        return LabelJudge(model, options)
    return RankingJudge(task.of_kind(model, task.Recommender), options)
