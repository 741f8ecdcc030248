"""Means of a loop's last losses."""

from __future__ import annotations

import pytest
import torch

from lift3d_ray.optimize.recent import RecentLosses, numbers


def test_means_are_those_of_the_last_tenth_and_one_more_step() -> None:
    recent = RecentLosses(40)
    for step in range(40):
        recent.add({"color": float(step)})
    assert recent.means() == {"color": pytest.approx((35 + 36 + 37 + 38 + 39) / 5)}


def test_short_loops_keep_two_steps_and_none_keeps_nothing() -> None:
    recent = RecentLosses(3)
    assert recent.means() == {}
    for step in range(3):
        recent.add({"color": float(step)})
    assert recent.means() == {"color": 1.5}


def test_a_loss_that_only_some_steps_have_is_averaged_over_those() -> None:
    recent = RecentLosses(20)
    for entry in ({"mask": 1.0}, {"clip": 4.0, "mask": 2.0}, {"clip": 6.0}):
        recent.add(entry)
    assert list(recent.means().items()) == [("clip", 5.0), ("mask", 1.5)]


def test_numbers_leave_their_graph_behind() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    assert numbers({"color": weight * 3}) == {"color": 6.0}
