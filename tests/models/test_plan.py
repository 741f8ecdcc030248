from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.errors import BundleError, ClusterError, ConfigError
from lift3d_ray.field.render import render_rays
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.models import plan
from lift3d_ray.models.blueprints import WITHOUT_WEIGHTS, empty_model
from lift3d_ray.models.bundle import OPTIONAL_ROLES, REQUIRED_ROLES, load_bundle
from lift3d_ray.models.memory import PeakMeter, weight_bytes
from lift3d_ray.models.passes import PASSES, Asked, pass_bytes
from lift3d_ray.models.plan import Actor, RoleMemory, place, plan_actors, planned_roles, read_gpus
from lift3d_ray.recipes import by_name

GIB = 2**30
# Words and depth: the text prior's largest pass, two branches of guidance.
RECIPE = by_name("anything-3d")
ASKED = Asked(recipe=RECIPE, image_size=32)
ROLES = [role for role in dict(load_bundle().roles) if role not in WITHOUT_WEIGHTS]


def real_model(role: str) -> nn.Module:
    """A role's class on the CPU, in single precision, with weights that are there and mean nothing."""
    model = empty_model(role, load_bundle().path(role)).float().to_empty(device="cpu")
    getattr(model, "tie_weights", lambda: None)()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.zero_()
    return model


def allocated_bytes(role: str, model: nn.Module) -> int:
    """What torch's own allocator gave out at most, above what was out at first."""
    like = torch.empty(())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        answer = PASSES[role](model, ASKED, like)
    del answer
    assert watched.profiler is not None
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def test_every_role_with_weights_has_a_largest_pass() -> None:
    assert set(PASSES) == {*REQUIRED_ROLES, *OPTIONAL_ROLES} - {*WITHOUT_WEIGHTS}


@pytest.mark.parametrize("role", ROLES)
def test_the_estimate_without_computing_is_what_torch_allocates(role: str) -> None:
    empty = empty_model(role, load_bundle().path(role)).float()
    estimate = pass_bytes(role, empty, ASKED, torch.float32)
    model = real_model(role)
    assert weight_bytes(empty) == weight_bytes(model)
    # The same tensors are born and gone where numbers are computed ...
    assert pass_bytes(role, model, ASKED, torch.float32) == pytest.approx(estimate, rel=0.02)
    # ... and the allocator gave out that, and what the CPU's kernels took for themselves.
    assert 0.95 * estimate <= allocated_bytes(role, model) <= plan.SLACK * estimate + 2**21


def test_a_meter_counts_what_lives_together() -> None:
    known = torch.empty(1000)
    with PeakMeter(known) as meter:
        one = known + 1
        assert (meter.now_bytes, meter.peak_bytes) == (4000, 4000)
        del one
        two = known * 2
        three = two.view(10, 100)
        assert (meter.now_bytes, meter.peak_bytes) == (4000, 4000)
        four = three.half()
        assert meter.peak_bytes == 6000
        del two, three
        assert meter.now_bytes == 2000
    assert four.dtype == torch.float16


def test_weights_are_counted_once_and_in_their_precision() -> None:
    layer = nn.Linear(10, 10, bias=False)
    twice = nn.Sequential(layer, layer)
    assert weight_bytes(twice) == 400
    assert weight_bytes(twice, torch.float16) == 200


@pytest.mark.parametrize("resolution", [48, 96])
def test_a_field_holds_no_more_than_is_planned(resolution: int) -> None:
    values = torch.cat([torch.full((resolution**3, 1), 0.05), torch.zeros(resolution**3, 3)], 1)
    field = VoxelField(values)
    zeros = np.zeros(2, dtype=np.float32)
    origins, directions = (torch.from_numpy(rays.reshape(-1, 3)) for rays in pixel_rays(orbit_c2w(zeros, zeros), 32))
    with PeakMeter(field.values_V4, origins, directions) as meter:
        seen = render_rays(
            field, origins, directions, n_samples=resolution, sharpness=30.0, background=torch.ones(3)
        )
        seen.rgb_N3.sum().backward()
    samples = meter.peak_bytes - values.nbytes
    assert 0.3 * plan.SAMPLE_BYTES < samples / (len(origins) * resolution) <= plan.SAMPLE_BYTES


def test_a_scene_of_the_standard_recipe_fits_what_a_run_reserves_for_it() -> None:
    # 64^3 cells of four numbers four times, and 5632 rays of 64 samples.
    assert plan.field_bytes(by_name("make-it-3d")) == 64**3 * 4 * 4 * 4 + 5632 * 64 * 100


def test_stable_diffusion_in_half_precision_weighs_what_is_known() -> None:
    planned = planned_roles("sd15", {"segmenter": "sam-vit-b", "captioner": "blip-base"})
    assert planned.name == "sd15+captioner=blip-base+segmenter=sam-vit-b"
    unet = plan.role_memory("unet", planned, RECIPE, torch.float16)
    assert unet.model == "sd15"
    assert unet.weights_bytes == 2 * 859_520_964
    assert 0.3 * GIB < unet.pass_bytes < 1.5 * GIB


def test_more_views_hold_more() -> None:
    planned = planned_roles("toybox", {})
    more = replace(RECIPE, optimize=replace(RECIPE.optimize, views=8))
    few, many = (plan.role_memory("unet", planned, recipe, torch.float32) for recipe in (RECIPE, more))
    assert many.weights_bytes == few.weights_bytes
    assert 1.8 < many.pass_bytes / few.pass_bytes < 2.2


def test_an_optimizer_keeps_what_its_recipe_asks() -> None:
    planned = planned_roles("toybox", {})
    plain = plan_actors(planned, by_name("make-it-3d"), torch.float16)[1]
    assert [role.role for role in plain.roles] == ["vae", "image_encoder"]
    rich = by_name("make-it-3d")
    rich = replace(rich, losses=replace(rich.losses, clip_image=1.0), optimize=replace(rich.optimize, cloud_start=True))
    assert [role.role for role in plan_actors(planned, rich, torch.float16)[1].roles] == [
        *("vae", "image_encoder", "point_cloud", "clip")
    ]


def test_what_the_prior_can_be_asked_is_known_before_it_is_there() -> None:
    toybox, words, deep = (planned_roles(name, {}) for name in ("toybox", "sd15", "sd2-depth"))
    assert [one.has_view_prior for one in (toybox, words, deep)] == [True, False, False]
    assert [one.takes_depth for one in (toybox, words, deep)] == [False, False, True]
    assert [one.has_depth_prior for one in (toybox, words, deep)] == [True, True, True]
    assert not planned_roles("sd15", {"controlnet": "none"}).has_depth_prior


def test_both_branches_of_the_guidance_and_views_drawn_together_are_counted() -> None:
    assert (ASKED.latents, ASKED.viewed_latents) == (8, 4)
    drawn = replace(RECIPE, optimize=replace(RECIPE.optimize, drawn_views=12))
    assert Asked(recipe=drawn, image_size=32).latents == 24


def test_what_is_not_counted_is_said() -> None:
    assert plan.left_out(RECIPE) == []
    more = replace(RECIPE, inversion=replace(RECIPE.inversion, steps=5), refine=replace(RECIPE.refine, steps=5))
    assert [line.split(":")[0] for line in plan.left_out(more)] == ["not counted"] * 2


def test_other_models_may_be_planned_into_the_embedded_bundle() -> None:
    planned = planned_roles("toybox", {"unet": "sd15", "pose": "none"})
    assert planned.image_size == 512
    assert planned.models["vae"][0] == "sd15"
    assert planned.models["segmenter"][0] == "toybox"
    assert not {"view_unet", "pose"} & planned.models.keys()


def test_an_unknown_bundle_is_said() -> None:
    with pytest.raises(BundleError, match="neither an embedded bundle"):
        planned_roles("huge", {})


def actor(name: str, *sizes_gib: float) -> Actor:
    """An actor that takes half a GiB and the sum of these weights."""
    roles = tuple(
        RoleMemory(role=f"{name}{k}", model="m", weights_bytes=int(size * GIB), pass_bytes=0)
        for k, size in enumerate(sizes_gib)
    )
    return Actor(name=name, roles=roles)


SHARED = [actor("prior", 5.5), actor("perception", 2, 3, 2.5)]
OPTIMIZER = actor("optimizer", 1.5)


def names(gpus: str) -> list[list[str]]:
    return [[actor.name for actor in placed.actors] for placed in place(SHARED, OPTIMIZER, read_gpus(gpus))]


def test_one_large_gpu_takes_all() -> None:
    # 22.8 usable, 6 and 8 taken: four optimizers of 2 in the rest.
    assert names("24") == [["perception", "prior", *["optimizer"] * 4]]


def test_the_largest_goes_where_most_room_is_and_optimizers_fill_the_rest() -> None:
    assert names("8,24,8") == [["optimizer"] * 3, ["perception", "prior", *["optimizer"] * 4], ["optimizer"] * 3]
    assert names("10,11") == [["prior", "optimizer"], ["perception", "optimizer"]]


def test_perception_is_taken_apart_where_it_fits_nowhere_together() -> None:
    assert names("8,8,8") == [
        ["prior"],
        ["perception1", "optimizer", "optimizer"],
        ["perception2", "perception0", "optimizer"],
    ]


def test_the_prior_has_room_for_all_that_may_ask_at_once() -> None:
    role = RoleMemory(role="unet", model="m", weights_bytes=GIB, pass_bytes=int(GIB / plan.SLACK))
    prior = Actor(name="prior", roles=(role,))

    def placed(gpus: str, scenes: int) -> tuple[int, float]:
        """Optimizers, and what the prior takes for itself beside them."""
        found = place([prior], OPTIMIZER, read_gpus(gpus), scenes=scenes)
        optimizers = [actor for placement in found for actor in placement.actors if actor is OPTIMIZER]
        free = sum(placement.free_bytes for placement in found)
        used = sum(placement.gpu_bytes for placement in found) - free - len(optimizers) * OPTIMIZER.bytes
        return len(optimizers), round(used / GIB, 2)

    # Of 19 usable: 1.5 of the prior, then 1 a scene and 2 an optimizer.
    assert placed("20", 1) == (8, 2.5)
    assert placed("20", 3) == (7, 4.5)
    assert placed("20", 16) == (5, 6.5)
    assert placed("6", 16) == (1, 2.5)


@pytest.mark.parametrize("gpus", ["4", "8", "6,6", "15"])
def test_what_does_not_fit_is_refused_with_the_sum(gpus: str) -> None:
    with pytest.raises(ClusterError, match=r"prior 6\.00 \+ perception 8\.00 \+ optimizer 2\.00 = 16\.00 GiB wanted"):
        place(SHARED, OPTIMIZER, read_gpus(gpus))


def test_slices_are_named_where_they_make_a_refused_plan_fit() -> None:
    whole = [RoleMemory(role=role, model="m", weights_bytes=GIB, pass_bytes=4 * GIB) for role in ("unet", "controlnet")]
    prior = Actor(name="prior", roles=tuple(whole))
    thin = [replace(whole[0], pass_bytes=GIB), replace(whole[1], pass_bytes=GIB)]
    # 2.5 and 1.2 times the larger pass, and 2 of an optimizer: 9.3 whole, 5.7 in slices, of 6.65 usable.
    gpus = read_gpus("7")
    with pytest.raises(ClusterError):
        place([prior], OPTIMIZER, gpus)
    assert plan.roles_to_slice([prior], thin, OPTIMIZER, gpus) == ["unet", "controlnet"]
    assert plan.roles_to_slice([prior], thin, OPTIMIZER, read_gpus("5")) == []
    assert plan.roles_to_slice([prior], [thin[0]], OPTIMIZER, gpus) == []
    assert plan.roles_to_slice([prior], whole, OPTIMIZER, gpus) == []


def test_slices_save_where_attention_is_written_out_and_nowhere_else() -> None:
    from diffusers.models.attention_processor import AttnProcessor

    planned = planned_roles("sd15", {})
    small = replace(RECIPE, optimize=replace(RECIPE.optimize, views=1))
    (unet, _) = plan.sliced_roles(planned, small, torch.float16)
    assert unet.role == "unet"
    assert unet.pass_bytes >= plan.role_memory("unet", planned, small, torch.float16).pass_bytes
    written_out: Any = empty_model("unet", planned.models["unet"][1]).half()
    written_out.set_attn_processor(AttnProcessor())
    asked = Asked(recipe=small, image_size=planned.image_size)
    assert pass_bytes("unet", written_out, asked, torch.float16) > 2 * unet.pass_bytes


@pytest.mark.parametrize("text", ["", "24,", "a", "0", "-1,24", "99999"])
def test_memory_that_no_gpu_has_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--gpus takes the GiB"):
        read_gpus(text)


def test_the_largest_pass_and_all_weights_are_held_at_once() -> None:
    roles = tuple(
        RoleMemory(role=role, model="m", weights_bytes=GIB, pass_bytes=size) for role, size in (("a", 10), ("b", 30))
    )
    assert Actor(name="x", roles=roles, state_bytes=20).bytes == plan.PROCESS_BYTES + 2 * GIB + 60
