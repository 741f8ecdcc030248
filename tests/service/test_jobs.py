from __future__ import annotations

import pickle
from itertools import pairwise

import pytest

from lift3d_ray.errors import ConfigError, TooMuch
from lift3d_ray.service.jobs import MAX_SEED, JobState, LiftOrder, selection_from
from lift3d_ray.service.stages import overall
from lift3d_ray.subject.select import EVERY, Selection
from lift3d_ray.types import Progress


@pytest.mark.parametrize(
    "order",
    [
        LiftOrder(),
        LiftOrder(name="ä" * 200, seed=MAX_SEED, best_of=16, prompt="x" * 500, settings=("a=1", "b=2"), webhook="x"),
        LiftOrder(selection=EVERY),
        LiftOrder(selection=Selection(thing=3)),
        LiftOrder(selection=Selection(words="the blue mug")),
        LiftOrder(selection=Selection(points_xy_frac=((0.1, 0.2), (0.3, 0.4)), labels=(True, False))),
        LiftOrder(selection=Selection(box_xyxy_frac=(0.0, 0.1, 0.5, 1.0))),
    ],
)
def test_an_order_comes_back_from_json(order: LiftOrder) -> None:
    assert LiftOrder.from_json(order.to_json()) == order


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "printable"),
        ({"name": "a\nb"}, "printable"),
        ({"seed": -1}, "seed"),
        ({"seed": MAX_SEED + 1}, "seed"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 17}, "best_of"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "x" * 501}, "prompt"),
        ({"prompt": "\ud800"}, "printable"),
        ({"selection": Selection(words="x" * 501)}, "selection"),
        ({"webhook": "http://x/\r\nHost: y"}, "printable"),
    ],
)
def test_nonsense_is_refused_in_words(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        LiftOrder(**wrong)  # type: ignore[arg-type]


def test_the_digest_tells_requests_apart() -> None:
    orders = [LiftOrder(), LiftOrder(seed=1), LiftOrder(name="x"), LiftOrder(webhook="y"), LiftOrder(selection=EVERY)]
    digests = {order.digest(picture) for order in orders for picture in ("a", "b")}
    assert len(digests) == 10
    assert LiftOrder().digest("a") in digests


def test_a_selection_comes_from_what_was_sent_of_it() -> None:
    assert selection_from({}) == Selection()
    assert selection_from({"points_xy_frac": [[0, 1]]}) == Selection(points_xy_frac=((0.0, 1.0),))


def test_three_states_are_final() -> None:
    assert [state for state in JobState if state.ended] == ["succeeded", "failed", "canceled"]


def test_a_full_queue_crosses_processes_with_its_seconds() -> None:
    error = pickle.loads(pickle.dumps(TooMuch("full", retry_after_s=7.5)))
    assert isinstance(error, TooMuch)
    assert (str(error), error.retry_after_s, error.code) == ("full", 7.5, "too-much")


def test_a_whole_lift_goes_from_nothing_to_one_without_falling() -> None:
    stages = ("segment", "caption", "depth", "invert", "pose", "coarse", "optimize", "mesh", "refine", "export")
    parts = [overall(Progress(stage=stage, step=step, steps=4)) for stage in stages for step in range(5)]
    assert parts[0] == 0.0
    assert parts[-1] == 1.0
    assert all(one <= other for one, other in pairwise(parts))


@pytest.mark.parametrize(("step", "steps"), [(-3, 4), (9, 4), (0, 0), (1, 0)])
def test_odd_steps_stay_within_their_stage(step: int, steps: int) -> None:
    begin, end = (overall(Progress(stage=stage, step=0, steps=1)) for stage in ("optimize", "mesh"))
    assert begin <= overall(Progress(stage="optimize", step=step, steps=steps)) <= end
    assert overall(Progress(stage="unheard-of", step=step, steps=steps)) == 0.0
