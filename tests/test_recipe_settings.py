"""Numbers of a recipe exchanged by name: each kind arrives as it is meant, anything else is refused in words."""

from __future__ import annotations

import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipe_settings import with_settings
from lift3d_ray.recipes import DepthHint, Quality, make_it_3d

PLAIN = make_it_3d(Quality.DRAFT)


def test_every_kind_of_number_is_exchanged_and_makes_other_work() -> None:
    changed = with_settings(
        PLAIN,
        [
            "refine.steps=80",
            "losses.orientation=1",
            "optimize.blend_prompts=true",
            "optimize.timestep_end=0.1, 0.3",
            "optimize.resolutions=(32, 48, 64)",
            "optimize.shading.after=0.3",
            "optimize.back_negative=face, eyes",
            "optimize.hint=cloud",
        ],
    )
    assert changed.refine.steps == 80
    assert changed.losses.orientation == 1.0
    assert type(changed.losses.orientation) is float
    assert changed.optimize.blend_prompts is True
    assert changed.optimize.timestep_end == (0.1, 0.3)
    assert changed.optimize.resolutions == (32, 48, 64)
    assert changed.optimize.shading.after == 0.3
    assert changed.optimize.back_negative == "face, eyes"
    assert changed.optimize.hint is DepthHint.CLOUD
    assert changed.digest != PLAIN.digest
    assert with_settings(PLAIN, ["refine.steps=0"]) == PLAIN


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("refine.steps", "name=value"),
        ("refine.stepz=80", "no setting 'refine.stepz'"),
        ("refine=80", "no single setting"),
        ("refine.steps.more=80", "no single setting"),
        ("refine.steps=many", "takes a value like 0, got 'many'"),
        ("refine.steps=1.5", "takes a value like 0"),
        ("refine.steps=true", "takes a value like 0"),
        ("optimize.blend_prompts=1", "takes a value like False"),
        ("optimize.timestep_end=0.2", "takes a value like"),
        ("optimize.timestep_end=a,b", "takes a value like"),
        ("name=other", "no setting 'name'"),
        ("guidance=()", "no setting 'guidance'"),
        ("optimize.hint=mesh", "takes one of field, cloud, got 'mesh'"),
        ("losses.color=-1", "must be >= 0"),
    ],
)
def test_what_makes_no_sense_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(").replace(")", r"\)")):
        with_settings(PLAIN, [setting])
