"""Reduced copies of published models, in their publishers' layouts, through the doors that users' files go through."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.lifting import lift, load_tools
from lift3d_ray.models import bundle as bundles
from lift3d_ray.models.bundle import Bundle, load_bundle, load_models
from lift3d_ray.models.catalog import bundle_spec, mixed, model_entries, model_entry
from lift3d_ray.models.point_e import loading
from lift3d_ray.models.point_e.karras import KarrasConfig
from lift3d_ray.photo import read_photo
from lift3d_ray.recipe_settings import with_settings
from lift3d_ray.recipes import Quality, Recipe, anything_3d, make_it_3d
from lift3d_ray.types import MaskProposal, NoiseQuery, Photo, SegmentQuery
from tests.models.published.copies import IMAGE_SIZE, build, random_model, reduced_config, write_bundle, write_entry

FEW = (
    "optimize.steps=3",
    "optimize.resolutions=16",
    "optimize.warmup_steps=1",
    "optimize.views=2",
    "optimize.view_px=16",
    "optimize.reference_rays=64",
    "mesh.resolution=24",
    "mesh.faces=400",
    "mesh.points=100",
    "mesh.turntable_frames=2",
    "mesh.turntable_px=16",
    "pose.draws=1",
    "pose.steps=1",
    "pose.noises=1",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def opened(weights: Path, name: str, choices: dict[str, str] | None = None) -> Bundle:
    folder = weights / "bundles" / name
    if not folder.exists():
        write_bundle(weights, mixed(bundle_spec(name), choices or {}))
    return load_bundle(folder)


def photo() -> Photo:
    """A bright disc on a dark ground, as a PNG file's bytes."""
    import io

    from PIL import Image

    y, x = np.mgrid[:96, :96] - 48
    picture = np.where((x**2 + y**2 < 30**2)[..., None], (220, 90, 40), (20, 30, 40)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return read_photo(file.getvalue(), name="disc.png")


def few(recipe: Recipe) -> Recipe:
    return with_settings(recipe, FEW)


@pytest.mark.parametrize(
    ("name", "choices", "recipe", "asked"),
    [
        ("sd15", {"segmenter": "sam-vit-b"}, make_it_3d(Quality.DRAFT), "text"),
        ("sd21", {"captioner": "blip2-opt-2.7b", "depth": "dpt-large"}, anything_3d(Quality.DRAFT), "depth"),
        ("sd2-depth", {"captioner": "blip-base", "clip": "clip-vit-b-16"}, make_it_3d(Quality.DRAFT), "depth"),
    ],
)
def test_a_picture_is_lifted_by_a_copy_of_a_published_bundle(
    weights: Path, name: str, choices: dict[str, str], recipe: Recipe, asked: str
) -> None:
    bundle = opened(weights, name, choices)
    recipe = few(recipe)
    models, tools = load_models(bundle), load_tools(bundle, recipe=recipe)
    # Random masks fit no subject, so the disc is cut out by its own; what the segmenter says is a mask all the same.
    click = SegmentQuery(rgb_HWC=photo().rgb_HWC, points_xy_px=((48.0, 48.0),), labels=(True,))
    assert all(proposal.mask_HW.shape == (96, 96) for proposal in models.segmenter.segment(click))
    mask = MaskProposal(mask_HW=photo().rgb_HWC[..., 0] > 100, score=1.0)
    asset = lift(photo(), models, recipe, seed=1, tools=tools, mask=mask)
    assert len(asset.mesh.faces_F3) > 0
    assert np.isfinite(asset.mesh.vertices_N3).all()
    assert np.isfinite(list(asset.losses.values())).all()
    assert asset.timings_s["prior"] > 0
    (remark,) = asset.remarks
    assert remark.endswith(f"it was asked by {asked} (scale 11).")
    assert asset.perception.disparity_HW is not None
    assert models.captioner.caption(photo().rgb_HWC)


@pytest.mark.parametrize(
    "name", [n for n, e in model_entries().items() if set(e.roles) & {"captioner", "clip", "depth", "segmenter"}]
)
def test_every_parameter_of_a_copy_arrives(tmp_path: Path, name: str) -> None:
    entry = model_entry(name)
    write_entry(tmp_path, entry)
    part = entry.parts[0]
    loader: Any = getattr(bundles, f"load_{part.role}")
    mine = Bundle(name="mine", folder=tmp_path, image_size=IMAGE_SIZE, latent_pack=1, roles=((part.role, tmp_path),))
    loaded = loader(mine)
    wanted = random_model(entry, part, reduced_config(entry, part), seed=0).state_dict()
    model = getattr(loaded, "model", None) or getattr(loaded, "_model", None) or loaded._sam
    found = model.state_dict()
    assert found.keys() == wanted.keys()
    unused = "neck.fusion_stage.layers.0.residual_layer1."
    for key, value in wanted.items():
        if not key.startswith(unused):
            torch.testing.assert_close(found[key], value, rtol=0, atol=0, msg=key)


def test_every_parameter_of_a_prior_arrives(weights: Path) -> None:
    bundle = opened(weights, "sd15")
    entry = model_entry("sd15")
    prior: Any = bundles.load_prior(bundle)
    codec = bundles.load_codec(bundle)
    for role, model in (("unet", prior._unet), ("text_encoder", prior._embed._encoder), ("vae", codec.autoencoder)):
        wanted = random_model(entry, entry.part(role), reduced_config(entry, entry.part(role)), seed=0).state_dict()
        assert model.state_dict().keys() == wanted.keys()
        for key, value in wanted.items():
            torch.testing.assert_close(model.state_dict()[key], value, rtol=0, atol=0, msg=key)
    assert codec.encode(torch.rand(1, 3, 64, 64)).shape == (1, 4, 8, 8)
    assert codec._scale == entry.facts["latent_scale"]
    schedule = bundles.load_noise_schedule(bundle)
    assert len(schedule) == entry.facts["timesteps"]
    assert schedule.prediction_type == entry.facts["prediction_type"]


def test_a_tokenizer_fills_up_with_what_its_publisher_filled_up_with(weights: Path) -> None:
    bundle = opened(weights, "sd21", {"captioner": "blip2-opt-2.7b", "depth": "dpt-large"})
    tokenizer = bundles.load_prior(bundle)._embed._tokenizer  # type: ignore[attr-defined]
    # One of the two files says "!", the other the end of the text; Stable Diffusion 2 was trained with the first.
    assert (tokenizer.pad_token, tokenizer.model_max_length) == ("!", 77)


def noise_query(**more: Any) -> NoiseQuery:
    draws = np.random.default_rng(0)
    return NoiseQuery(
        noisy_latents_BCHW=draws.standard_normal((2, 4, 8, 8)).astype(np.float32),
        timesteps_B=np.array([100, 700]),
        guidance_scale=3.0,
        prompts=("a red house", "a cat"),
        negative_prompts=("", ""),
        **more,
    )


def test_a_prior_that_takes_depth_hears_it_and_needs_it(weights: Path) -> None:
    bundle = opened(weights, "sd2-depth", {"captioner": "blip-base", "clip": "clip-vit-b-16"})
    assert bundle.takes_depth
    assert bundle.has_depth_prior
    prior = bundles.load_prior(bundle)
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, None, None].repeat(2, 0).repeat(64, 2)
    straight = prior.predict_noise(noise_query(disparity_B1HW=ramp)).noise_BCHW
    turned = prior.predict_noise(noise_query(disparity_B1HW=ramp[..., ::-1].copy())).noise_BCHW
    assert straight.shape == (2, 4, 8, 8)
    assert np.abs(straight - turned).max() > 1e-3
    # Scale and shift of an inverse depth mean nothing.
    half = prior.predict_noise(noise_query(disparity_B1HW=ramp / 2 + 0.1)).noise_BCHW
    np.testing.assert_allclose(half, straight, atol=1e-4)
    flat = prior.predict_noise(noise_query(disparity_B1HW=np.zeros_like(ramp))).noise_BCHW
    assert np.isfinite(flat).all()
    with pytest.raises(ValueError, match="must be told depth"):
        prior.predict_noise(noise_query())


def test_a_copy_of_point_e_draws_a_base_and_an_upsampled_cloud(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def two_levels(**changes: Any) -> KarrasConfig:
        return replace(KarrasConfig(**changes), steps=2)

    monkeypatch.setattr(loading, "KarrasConfig", two_levels)
    sampler = bundles.load_point_cloud(opened(weights, "sd15"))
    assert sampler is not None
    cloud = sampler.guess_points(np.full((64, 64, 3), 200, dtype=np.uint8), seed=0)
    assert cloud.xyz_N3.shape == (4096, 3)
    assert np.isfinite(cloud.xyz_N3).all()
    entry = model_entry("point-e-base300m")
    wanted = random_model(entry, entry.parts[0], reduced_config(entry, entry.parts[0]), seed=0).state_dict()
    for key, value in sampler._stages[0].network.state_dict().items():
        torch.testing.assert_close(value, wanted[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", [n for n, e in model_entries().items() if e.layout == "point-e-pt"])
def test_a_checkpoint_s_shapes_say_its_published_sizes(name: str) -> None:
    entry = model_entry(name)
    config = json.loads((entry.config_folder(entry.parts[0].role) / "config.json").read_text(encoding="utf-8"))
    network = build(entry, entry.parts[0], config, device="meta")
    state = dict(network.state_dict())
    for key in ("channel_scales", "channel_biases"):
        if key in state:
            state[key] = torch.tensor(config[key])
    found = loading.checkpoint_config(state)
    for key in ("channel_scales", "channel_biases"):
        assert getattr(found, key) == pytest.approx(config.get(key, ()))
    assert replace(found, channel_scales=(), channel_biases=(), low_res_points=0) == replace(
        loading.network_config(config), channel_scales=(), channel_biases=(), low_res_points=0
    )


def test_networks_that_the_lift_cannot_ask_are_refused_in_words(weights: Path) -> None:
    write_bundle(weights / "vec", mixed(bundle_spec("sd15"), {"point_cloud": "point-e-base40m-imagevec"}))
    with pytest.raises(BundleError, match="wants a vector of width 32"):
        bundles.load_point_cloud(load_bundle(weights / "vec" / "bundles" / "sd15"))


def test_shared_folders_count_in_the_digest(weights: Path, tmp_path: Path) -> None:
    small = mixed(bundle_spec("sd15"), {"segmenter": "sam-vit-b"})
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for where, seed in ((one, 0), (same, 0), (other, 1)):
        write_bundle(where, small, seed=seed)
    digests = [load_bundle(where / "bundles" / "sd15").digest for where in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_halves_and_pickles_are_read_and_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    from lift3d_ray.models.clip import load_clip

    entry = model_entry("clip-vit-l-14")
    write_entry(tmp_path / "whole", entry)
    whole = load_clip(tmp_path / "whole").encode_texts(["a red house"])
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    state = load_file(tmp_path / "half" / "model.safetensors")
    (tmp_path / "half" / "model.safetensors").unlink()
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(halves, tmp_path / "half" / "model.fp16.safetensors", {"format": "pt"})
    np.testing.assert_allclose(load_clip(tmp_path / "half").encode_texts(["a red house"]), whole, atol=2e-2)
    (tmp_path / "half" / "model.fp16.safetensors").unlink()
    torch.save(state, tmp_path / "half" / "pytorch_model.bin")
    np.testing.assert_allclose(load_clip(tmp_path / "half").encode_texts(["a red house"]), whole, atol=1e-6)
    torch.save({**state, "logit_scale": Harmful()}, tmp_path / "half" / "pytorch_model.bin")
    with pytest.raises(BundleError, match="half cannot be loaded as CLIPModel"):
        load_clip(tmp_path / "half")
    assert "run while loading" not in capsys.readouterr().out


class Harmful:
    """Pickled code, as an untrusted ``.bin`` may carry."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run while loading",))
