"""Judging lifts of one picture against each other, without knowing the truth."""

from __future__ import annotations

from lift3d_ray.judge.judgement import ELEVATION_DEG, agreement_with_words, best, judged

__all__ = ["ELEVATION_DEG", "agreement_with_words", "best", "judged"]
