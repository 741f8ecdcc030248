"""The depth role over official DPTs of several shapes, with fresh weights."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

from lift3d_ray.errors import BundleError
from lift3d_ray.models.depth import load_depth
from lift3d_ray.types import UInt8

SIZE = 32


def picture(seed: int, size: tuple[int, int] = (40, 56)) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def tiny_dpt(stages: int = 3) -> DPTForDepthEstimation:
    """Four stages is the published shape, three the embedded one."""
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIZE,
        patch_size=8,
        is_hybrid=False,
        backbone_out_indices=list(range(stages)),
        neck_hidden_sizes=[8, 8, 16, 16][:stages],
        reassemble_factors=[4, 2, 1, 0.5] if stages == 4 else [2, 1, 0.5],
        fusion_hidden_size=8,
        neck_ignore_stages=[],
        use_auxiliary_head=False,
    )
    model = DPTForDepthEstimation(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=generator)
        last: Any = model.head.head[-2]
        last.bias.fill_(5.0)
    return model


def save(folder: Path, model: DPTForDepthEstimation) -> Path:
    model.save_pretrained(str(folder))
    DPTImageProcessor(size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(
        str(folder)
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path, tiny_dpt())


@pytest.mark.parametrize("stages", [3, 4])
def test_disparity_has_the_pictures_size_and_is_the_mean_of_both_ways_to_look(tmp_path: Path, stages: int) -> None:
    model = tiny_dpt(stages)
    rgb = picture(0, (SIZE, SIZE))
    disparity = load_depth(save(tmp_path, model)).estimate_disparity(rgb)
    assert disparity.shape == (SIZE, SIZE)
    assert disparity.dtype == np.float32
    with torch.no_grad():
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
        direct = model.eval()(pixel_values=pixels).predicted_depth[:, None]
        mirrored = model(pixel_values=pixels.flip(-1)).predicted_depth[:, None].flip(-1)
        direct = (direct + mirrored) / 2
        expected = torch.nn.functional.interpolate(direct, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
    assert disparity.std() > 0
    np.testing.assert_allclose(disparity, expected[0, 0].numpy(), atol=1e-4)


def test_any_picture_shape(folder: Path) -> None:
    estimator = load_depth(folder)
    for size in ((7, 200), (1, 1), (33, 18)):
        assert estimator.estimate_disparity(picture(0, size)).shape == size


def test_interleaved_threads_answer_as_alone(folder: Path) -> None:
    estimator = load_depth(folder)
    alone = [estimator.estimate_disparity(picture(seed)) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda k: estimator.estimate_disparity(picture(k % 3)), range(24)))
    assert not np.array_equal(alone[0], alone[1])
    assert all(np.array_equal(answer, alone[k % 3]) for k, answer in enumerate(together))


def test_half_precision_files_and_passes(tmp_path: Path) -> None:
    model = tiny_dpt()
    full = load_depth(save(tmp_path / "full", model)).estimate_disparity(picture(0))
    stored = load_depth(save(tmp_path / "half", model.half())).estimate_disparity(picture(0))
    np.testing.assert_allclose(stored, full, atol=0.05 * float(np.abs(full).max()))
    passed = load_depth(tmp_path / "half", dtype=torch.bfloat16).estimate_disparity(picture(0))
    assert passed.dtype == np.float32
    assert np.corrcoef(passed.ravel(), full.ravel())[0, 1] > 0.9


def test_parameters_that_published_files_lack_are_not_missed(folder: Path) -> None:
    full = load_depth(folder).estimate_disparity(picture(0))
    weights = load_file(folder / "model.safetensors")
    unused = [name for name in weights if name.startswith("neck.fusion_stage.layers.0.residual_layer1.")]
    assert unused, "the class makes parameters that it never uses"
    kept = {name: value for name, value in weights.items() if name not in unused}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert np.array_equal(load_depth(folder).estimate_disparity(picture(0)), full)


def test_any_other_missing_parameter_is_an_error(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("head.head.0.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"head\.head\.0\.weight"):
        load_depth(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} is missing"):
        load_depth(folder)


def test_missing_and_truncated_weights_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(BundleError, match="cannot be loaded as DPTForDepthEstimation"):
        load_depth(folder)
    weights.unlink()
    with pytest.raises(BundleError, match=r"holds no \.safetensors file"):
        load_depth(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, "model_type": "clip"}))
    with pytest.raises(BundleError, match="model_type 'clip', wanted 'dpt'"):
        load_depth(folder)


def test_preprocessing_without_a_size_is_refused(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(BundleError, match="wanted one side, or height and width"):
        load_depth(folder)


def test_what_is_not_a_picture_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8"):
        load_depth(folder).estimate_disparity(picture(0)[..., 0])
