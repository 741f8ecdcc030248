"""Pictures to clouds: own folders, published files, frames and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from lift3d_ray.errors import BundleError
from lift3d_ray.models.image_encoder import load_image_encoder
from lift3d_ray.models.point_e import loading
from lift3d_ray.models.point_e.diffusion import Betas, PointDiffusion
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.karras import KarrasConfig
from lift3d_ray.models.point_e.loading import load_point_cloud, load_stage, published_stage, save_stage
from lift3d_ray.models.point_e.sampler import PointESampler, Stage, into_unit_ball, y_up
from lift3d_ray.models.point_e.transformer import Condition, PointTransformer, PointTransformerConfig
from tests.models.small_clip import write_untrained_clip

FEW = KarrasConfig(steps=3, guidance_scale=2.0)
OWN = PointDiffusion(channel_scales=(1.0, 1.0, 1.0, 2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("bundle") / "clip"
    write_untrained_clip(where)
    return where


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture tower with the layout of the published one: 4 patch tokens of width 16."""
    where = tmp_path_factory.mktemp("vit")
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        config = CLIPVisionConfig(**sizes, num_attention_heads=2, image_size=32, patch_size=16)
        CLIPVisionModel(config).save_pretrained(str(where))
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(str(where))
    return where


def network(config: PointTransformerConfig) -> PointTransformer:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        built = PointTransformer(config)
        torch.nn.init.normal_(built.output_proj.weight, std=0.1)
    return built.eval().requires_grad_(False)


def own_stage(width: int, tokens: int = 16) -> Stage:
    config = PointTransformerConfig(
        width=32, layers=1, heads=2, points=12, condition_width=width, condition_tokens=tokens
    )
    return Stage(network=network(config), diffusion=OWN, sampling=FEW)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (80, 80, 3), dtype=np.uint8)


def test_a_saved_network_draws_the_same_clouds_up_to_its_eight_bits(clip: Path, tmp_path: Path) -> None:
    grid = PictureGrid(load_image_encoder(clip))
    stage = own_stage(grid.width)
    save_stage(tmp_path, stage)
    loaded = load_point_cloud(tmp_path, clip=clip).guess_points(picture(), seed=3)
    fresh = PointESampler([stage], grid).guess_points(picture(), seed=3)
    assert loaded.xyz_N3.shape == loaded.rgb_N3.shape == (12, 3)
    assert loaded.xyz_N3.dtype == loaded.rgb_N3.dtype == np.float32
    assert loaded.faces_photo
    assert 0 <= loaded.rgb_N3.min() <= loaded.rgb_N3.max() <= 1
    np.testing.assert_allclose(loaded.xyz_N3, fresh.xyz_N3, atol=0.05)
    assert load_stage(tmp_path).sampling == FEW


def test_a_seed_is_a_cloud_and_another_picture_is_another(clip: Path) -> None:
    grid = PictureGrid(load_image_encoder(clip))
    sampler = PointESampler([own_stage(grid.width)], grid)
    first = sampler.guess_points(picture(), seed=1)
    np.testing.assert_array_equal(first.xyz_N3, sampler.guess_points(picture(), seed=1).xyz_N3)
    assert np.abs(first.xyz_N3 - sampler.guess_points(picture(), seed=2).xyz_N3).max() > 1e-2
    assert np.abs(first.xyz_N3 - sampler.guess_points(picture(5), seed=1).xyz_N3).max() > 1e-6


def test_the_small_tower_s_tokens_know_their_place(clip: Path) -> None:
    grid = PictureGrid(load_image_encoder(clip))
    tokens = grid.embed(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert tokens.shape == (2, 16, grid.width)
    places = tokens[0, :, -6:]
    assert len({tuple(place.tolist()) for place in places}) == 16
    torch.testing.assert_close(places, tokens[1, :, -6:])
    torch.testing.assert_close(places[1, :2], torch.tensor([-0.25, -0.75]))


def test_the_published_tower_s_tokens_are_its_last_block_s_patches(vit: Path) -> None:
    encoder = load_image_encoder(vit)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = PictureGrid(encoder).embed(pictures)
    assert tokens.shape == (2, 4, 16)
    mean, deviation = (
        torch.tensor(getattr(encoder.processor, name))[:, None, None] for name in ("image_mean", "image_std")
    )
    seen = encoder.model(pixel_values=(pictures - mean) / deviation, output_hidden_states=True)
    torch.testing.assert_close(tokens, seen.hidden_states[-1][:, 1:], atol=1e-4, rtol=1e-4)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, PointTransformerConfig]:
    """Published names for small networks."""
    small = PointTransformerConfig(width=32, layers=1, heads=2, points=12, condition_width=16, condition_tokens=4)
    scales: dict[str, Any] = {"channel_scales": OWN.channel_scales, "channel_biases": OWN.channel_biases}
    configs = {"base": small, "upsample": replace(small, points=20, low_res_points=12, **scales)}
    monkeypatch.setattr(loading, "HEAD_WIDTH", 16)
    monkeypatch.setattr(loading, "KarrasConfig", lambda **changes: replace(FEW, **changes))
    points = {0: 12, 1024: 20}

    def smaller(state: Any) -> PointTransformerConfig:
        config = checkpoint_config(state)
        return replace(config, points=points[config.low_res_points], low_res_points=config.low_res_points and 12)

    checkpoint_config = loading.checkpoint_config
    monkeypatch.setattr(loading, "checkpoint_config", smaller)
    return configs


def test_published_files_become_a_base_and_an_upsampler(
    published: dict[str, PointTransformerConfig], vit: Path, tmp_path: Path
) -> None:
    torch.save(network(published["base"]).state_dict(), tmp_path / "base_40m.pt")
    alone = load_point_cloud(tmp_path, clip=vit).guess_points(picture(), seed=1)
    assert alone.xyz_N3.shape == (12, 3)
    torch.save(network(published["upsample"]).state_dict(), tmp_path / "upsample_40m.pt")
    both = load_point_cloud(tmp_path, clip=vit).guess_points(picture(), seed=1)
    assert both.xyz_N3.shape == (32, 3)
    assert not both.faces_photo
    assert np.linalg.norm(both.xyz_N3, axis=1).max() == pytest.approx(1, abs=1e-5)
    # The upsampler leaves the base's points as they are.
    np.testing.assert_allclose(both.rgb_N3[:12], alone.rgb_N3, atol=1e-6)


def test_published_networks_keep_their_noise_and_their_weights(
    published: dict[str, PointTransformerConfig], tmp_path: Path
) -> None:
    wanted = network(published["upsample"]).state_dict()
    torch.save(wanted, tmp_path / "upsample_40m.pt")
    stage = published_stage(tmp_path / "upsample_40m.pt")
    assert stage.network.config == replace(published["upsample"], condition_tokens=256)
    for name, value in stage.network.state_dict().items():
        torch.testing.assert_close(value, wanted[name])
    assert (stage.diffusion.betas, stage.sampling.sigma_max, stage.sampling.churn) == (Betas.LINEAR, 160, 0)


def test_an_upsampler_may_have_a_folder_of_its_own(
    published: dict[str, PointTransformerConfig], vit: Path, tmp_path: Path
) -> None:
    for name in ("base", "upsample"):
        (tmp_path / name).mkdir()
        torch.save(network(published[name]).state_dict(), tmp_path / name / "any_name.pt")
    sampler = load_point_cloud(tmp_path / "base", clip=vit, upsampler=tmp_path / "upsample")
    drawn = sampler.guess_points(picture(), seed=1)
    assert drawn.xyz_N3.shape == (32, 3)
    with pytest.raises(BundleError, match="2 base networks"):
        load_point_cloud(tmp_path / "base", clip=vit, upsampler=tmp_path / "base")


def test_files_of_other_networks_are_refused(
    published: dict[str, PointTransformerConfig], vit: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"holds no point cloud network"):
        load_point_cloud(tmp_path, clip=vit)
    torch.save(network(published["upsample"]).state_dict(), tmp_path / "base_40m.pt")
    with pytest.raises(BundleError, match="holds no point cloud network"):
        load_point_cloud(tmp_path, clip=vit)
    state = network(published["base"]).state_dict()
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "base_40m.pt")
    with pytest.raises(BundleError, match=r"(?s)base_40m\.pt does not hold.*extra"):
        load_point_cloud(tmp_path, clip=vit)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "base_40m.pt")
    with pytest.raises(BundleError, match=r"base_40m\.pt does not hold.*input_proj"):
        load_point_cloud(tmp_path, clip=vit)
    (tmp_path / "base_40m.pt").write_bytes(b"no")
    with pytest.raises(BundleError, match="damaged or not a weight file"):
        load_point_cloud(tmp_path, clip=vit)


def test_a_damaged_own_folder_is_named(clip: Path, tmp_path: Path) -> None:
    save_stage(tmp_path, own_stage(518))
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(BundleError, match=str(tmp_path)):
        load_stage(tmp_path)
    (tmp_path / "config.json").write_text('{"network": {}}')
    with pytest.raises(BundleError, match="diffusion"):
        load_stage(tmp_path)


def test_another_clip_than_the_network_s_is_refused(vit: Path) -> None:
    with pytest.raises(BundleError, match="width 16"):
        PointESampler([own_stage(99)], PictureGrid(load_image_encoder(vit)))
    vector = PointTransformerConfig(width=32, layers=1, heads=2, condition=Condition.VECTOR, condition_width=16)
    with pytest.raises(BundleError, match="vector"):
        PointESampler(
            [Stage(network=network(vector), diffusion=OWN, sampling=FEW)], PictureGrid(load_image_encoder(vit))
        )


def test_upright_along_z_becomes_upright_along_y() -> None:
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    np.testing.assert_array_equal(y_up(corners), [[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert np.linalg.det(y_up(corners)) == pytest.approx(1)


def test_clouds_are_brought_into_the_unit_ball_by_their_box() -> None:
    cloud = np.random.default_rng(0).uniform(2, 3, (50, 3)).astype(np.float32)
    ball = into_unit_ball(cloud)
    np.testing.assert_allclose(ball.min(0), -ball.max(0), atol=1e-6)
    assert np.linalg.norm(ball, axis=1).max() == pytest.approx(1, abs=1e-6)
