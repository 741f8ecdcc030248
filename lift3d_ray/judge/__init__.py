"""Judging lifts of one picture against each other, without knowing the truth."""

from __future__ import annotations

from lift3d_ray.judge.judgement import best, judged

__all__ = ["best", "judged"]
