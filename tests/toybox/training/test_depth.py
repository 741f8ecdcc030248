"""How the embedded depth estimator is taught: crops, masks, losses, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lift3d_ray.toybox import Split
from lift3d_ray.toybox.scene_dataset import build_scenes
from lift3d_ray.toybox.training.depth import (
    SIZE,
    DepthSet,
    DepthTask,
    crop_subjects,
    disparity_loss,
    draw_crops,
    initialize,
    load_scene_depths,
    load_view_depths,
    new_dpt,
    plain_crops,
)
from tests.toybox.training.small import write_small_shard


def spheres(count: int, size: int = 48, *, framed: bool = False) -> DepthSet:
    """Shaded spheres, turned to one side, whose brightness is their nearness."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] + 0.5
    rgb = np.full((count, size, size, 3), 255, dtype=np.uint8)
    alpha = np.zeros((count, size, size), dtype=np.uint8)
    disparity = np.zeros((count, size, size), dtype=np.float16)
    for k in range(count):
        radius = rng.uniform(8, 14)
        y, x = rng.uniform(radius, size - radius, 2)
        height = np.clip(1 - ((rows - y) ** 2 + (columns - x) ** 2) / radius**2, 0, 1) ** 0.5
        inside = height > 0
        near = height / 2 + (columns - x) / radius / 4 + 0.25
        rgb[k][inside] = (60 + 180 * near[inside, None]).astype(np.uint8)
        alpha[k][inside] = 255
        disparity[k][inside] = (0.25 + 0.1 * near[inside]).astype(np.float16)
    return DepthSet(rgb_NHWC=rgb, alpha_NHW=alpha, disparity_NHW=disparity, framed=framed)


def test_loss_ignores_scale_and_shift_and_what_lies_outside() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 24, 24, generator=generator)
    mask = (torch.rand(2, 24, 24, generator=generator) > 0.3).float()
    exact, figures = disparity_loss(3 * truth + 2 + 50 * (1 - mask), truth, mask)
    turned, _ = disparity_loss(-truth, truth, mask)
    assert figures["pearson"] == pytest.approx(1.0, abs=1e-4)
    assert float(turned) > float(exact) + 2


def test_crops_are_filled_and_their_depth_stays_with_the_picture() -> None:
    source = spheres(6)
    count = 6
    fill = np.full(count, 0.8)
    mirrored = np.array([False, True] * 3)
    rgb, alpha, disparity, mask = crop_subjects(source, np.arange(6), fill, np.zeros((6, 2)), mirrored)
    assert rgb.shape == (6, 3, SIZE, SIZE)
    for k in range(6):
        columns = torch.nonzero(mask[k].any(0))[:, 0]
        width = float(columns.max() - columns.min() + 1) / SIZE
        assert width == pytest.approx(0.8, abs=0.06)
        inside = alpha[k, 0] > 0.99
        brightness = rgb[k].mean(0)[inside].numpy()
        assert np.corrcoef(brightness, disparity[k][inside].numpy())[0, 1] > 0.97
    assert float(alpha.max()) <= 1


def test_training_crops_vary_and_repeat_by_seed() -> None:
    source = spheres(4, framed=True)
    first, again, other = (draw_crops(source, np.random.default_rng(seed), 4)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1


def test_plain_crops_lie_over_white() -> None:
    images, _, inside = plain_crops(spheres(3), np.arange(3))
    assert (images[:, :1] == 255).all()
    assert not (images[inside] == 255).all()


def test_a_fresh_model_passes_a_signal() -> None:
    torch.manual_seed(0)
    model = new_dpt()
    initialize(model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = model(pixel_values=torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    assert out.predicted_depth.shape == (2, 2 * SIZE, 2 * SIZE)
    assert float((out.predicted_depth > 0).float().mean()) > 0.95, "the final ReLU is open"
    assert float(out.predicted_depth.std()) > 0.01


def test_a_few_steps_teach_spheres() -> None:
    task = DepthTask([(spheres(24), 1.0)], {"spheres": spheres(2)}, batch_size=3)
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=1e-3)
    values = []
    for step in range(12):
        loss, figures = task.loss(task.draw(np.random.default_rng([0, step])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(figures["pearson"]))
    assert np.mean(values[-4:]) > np.mean(values[:4]) + 0.2
    found = task.validate()
    assert -1 <= found["pearson_spheres_p05"] <= found["pearson_spheres"] <= 1
    assert all(parameter.requires_grad for parameter in task.model.parameters()), "training goes on after figures"
    assert task.sheet().shape == (3 * SIZE, 2 * SIZE, 3)


def test_both_data_sets_load(tmp_path_factory: pytest.TempPathFactory) -> None:
    scenes, renders = tmp_path_factory.mktemp("scenes"), tmp_path_factory.mktemp("renders")
    build_scenes(scenes, n=2, size=48, split=Split.HELD_OUT)
    write_small_shard(renders, 2)
    bounds = {"scenes": (0.15, 0.6), "renders": (0.5, 255.5)}  # a subject at 3.2 units, unit radius; its own range
    found = {"scenes": load_scene_depths(scenes), "renders": load_view_depths(renders, limit=2)}
    for name, source in found.items():
        known = source.disparity_NHW[source.disparity_NHW > 0].astype(np.float32)
        assert len(source.rgb_NHWC) == 2
        assert bounds[name][0] < known.min() < known.max() < bounds[name][1]
        assert source.framed == (name == "scenes")
