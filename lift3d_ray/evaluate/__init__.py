"""Measuring lifts against toys that training never saw, and against models of files."""

from lift3d_ray.evaluate.exams import Exam, in_subject_world, make_exam, make_file_exam
from lift3d_ray.evaluate.files import mesh_files
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
    "in_subject_world",
    "judge_all",
    "make_exam",
    "make_file_exam",
    "mean_score",
    "mesh_files",
    "score_asset",
    "score_copy",
    "score_field",
    "score_views",
]
