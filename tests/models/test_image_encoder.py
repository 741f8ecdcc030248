"""The image encoder: the embedded one, one with a published layout, and damaged folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.models.clip import load_clip
from lift3d_ray.models.image_encoder import load_image_encoder
from tests.models.small_clip import write_untrained_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("bundle") / "clip"
    write_untrained_clip(where)
    return where


def picture(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_tokens_are_standardised_and_of_one_shape_at_any_size(folder: Path) -> None:
    encoder = load_image_encoder(folder)
    for size in (64, 256):
        tokens = encoder.tokens(picture(1, size))
        assert tokens.shape == (16, 128)
        assert tokens.dtype == np.float32
        np.testing.assert_allclose(tokens.mean(1), 0, atol=1e-4)
        np.testing.assert_allclose(tokens.std(1), 1, atol=1e-2)


def test_the_same_picture_gives_the_same_tokens_and_another_gives_others(folder: Path) -> None:
    encoder = load_image_encoder(folder)
    first = encoder.tokens(picture(1, 64))
    np.testing.assert_array_equal(first, encoder.tokens(picture(1, 64)))
    assert np.abs(first - encoder.tokens(picture(2, 64))).max() > 1e-3


def test_it_sees_as_the_whole_clip_does(folder: Path) -> None:
    encoder, whole = load_image_encoder(folder), load_clip(folder)
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        encoder.model(pixel_values=pixels).pooler_output, whole.model.vision_model(pixel_values=pixels).pooler_output
    )


def test_parameters_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "decoder.weight": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match="decoder"):
        load_image_encoder(tmp_path)


def test_a_published_layout_keeps_its_vit(tmp_path: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    model = CLIPVisionModel(config).eval()
    model.save_pretrained(str(tmp_path))
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(str(tmp_path))
    encoder = load_image_encoder(tmp_path)
    assert encoder.tokens(picture(1, 32)).shape == (17, 16)
    pixels = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(
        encoder.model(pixel_values=pixels).last_hidden_state, model(pixel_values=pixels).last_hidden_state
    )


def test_what_is_no_picture_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="uint8 picture"):
        load_image_encoder(folder).tokens(np.zeros((64, 64, 4), dtype=np.uint8))


def test_damaged_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        load_image_encoder(tmp_path / "nowhere")
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(BundleError, match="safetensors"):
        load_image_encoder(tmp_path)
