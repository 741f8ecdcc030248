"""Convolutional picture towers: only where the configuration asks for one, and with the interface of the ViT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BlipConfig, BlipForConditionalGeneration, CLIPConfig, CLIPModel

from lift3d_ray.models.conv_encoder import ConvEncoder
from lift3d_ray.models.conv_vision import ConvVision, with_conv_tower
from lift3d_ray.models.files import load_pretrained

VISION = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
TEXT = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}


def _clip_config(**vision: object) -> CLIPConfig:
    return CLIPConfig(vision_config={**VISION, "num_hidden_layers": 1, **vision}, text_config=TEXT, projection_dim=8)


def test_published_configurations_keep_their_vit() -> None:
    plain, ours = CLIPModel(_clip_config()), with_conv_tower(CLIPModel)(_clip_config())
    shapes = [{name: tuple(value.shape) for name, value in model.state_dict().items()} for model in (plain, ours)]
    assert shapes[0] == shapes[1]
    assert type(ours.vision_model) is type(plain.vision_model)


def test_a_tower_is_saved_and_loaded_with_its_model(tmp_path: Path) -> None:
    model = with_conv_tower(CLIPModel)(_clip_config(conv_widths=[4, 8])).eval()
    model.save_pretrained(str(tmp_path))
    again = load_pretrained(with_conv_tower(CLIPModel), tmp_path).eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.vision_model(pixel_values=pixels).pooler_output
        torch.testing.assert_close(again.vision_model(pixel_values=pixels).pooler_output, expected)
    assert expected.shape == (2, 16)


def test_blip_speaks_of_what_its_tower_saw() -> None:
    text = {**TEXT, "encoder_hidden_size": 16, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    config = BlipConfig(vision_config={**VISION, "num_hidden_layers": 1, "conv_widths": [4, 8, 8]}, text_config=text)
    model = with_conv_tower(BlipForConditionalGeneration)(config).eval()
    assert isinstance(model.vision_model, ConvVision)
    assert model.vision_model(pixel_values=torch.zeros(1, 3, 32, 32)).last_hidden_state.shape == (1, 16, 16)
    assert model.generate(torch.zeros(2, 3, 32, 32), max_new_tokens=3, do_sample=False).shape[0] == 2


@pytest.mark.parametrize(("reduction", "side"), [(2, 16), (4, 8), (8, 4)])
def test_the_embedding_has_the_side_that_was_asked_for(reduction: int, side: int) -> None:
    encoder = ConvEncoder(32, (4, 6, 8), 5, reduction=reduction)
    embedding = encoder(torch.randn(2, 3, 32, 32))
    assert embedding.shape == (2, 5, side, side)
    embedding.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
