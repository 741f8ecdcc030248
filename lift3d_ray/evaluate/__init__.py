"""Measuring lifts against toys that training never saw."""

from lift3d_ray.evaluate.exams import Exam, in_toy_world, make_exam
from lift3d_ray.evaluate.judging import GUIDANCES, Judge, Question, Verdict, judge_all
from lift3d_ray.evaluate.scores import (
    Score,
    chamfer,
    mean_score,
    score_asset,
    score_copy,
    score_field,
    score_views,
)

__all__ = [
    "GUIDANCES",
    "Exam",
    "Judge",
    "Question",
    "Score",
    "Verdict",
    "chamfer",
    "in_toy_world",
    "judge_all",
    "make_exam",
    "mean_score",
    "score_asset",
    "score_copy",
    "score_field",
    "score_views",
]
