"""How the embedded segmenter is taught: prompts, targets, losses, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lift3d_ray.models.segmenter import SamConfig, SamSegmenter, build_sam
from lift3d_ray.toybox.scenes import MAIN
from lift3d_ray.toybox.training import segmenter as training
from lift3d_ray.toybox.training.augment import recolor, reframe
from lift3d_ray.toybox.training.segmenter import Scenes, SegmenterTask, decode, draw_prompts, evaluate

TINY = SamConfig(
    image_size=32,
    patch_size=8,
    encoder_dim=16,
    encoder_depth=1,
    encoder_heads=2,
    window_size=0,
    global_attention=(),
    relative_positions=False,
    conv_widths=(8, 16, 24, 32),
    prompt_dim=16,
    mask_channels=4,
    decoder_heads=2,
    decoder_mlp_dim=16,
    iou_dim=16,
    automatic_side_px=32,
    points_per_side=4,
    pred_iou_thresh=0.0,
    stability_score_thresh=0.0,
)


def discs(count: int, size: int = 32) -> Scenes:
    """One bright disc and one small one before a dark ground."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    rgb = np.full((count, size, size, 3), 30, dtype=np.uint8)
    ids = np.zeros((count, size, size), dtype=np.uint8)
    for k in range(count):
        for number, radius in ((2, 4), (MAIN, 8)):
            y, x = rng.integers(9, size - 9, 2)
            disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
            rgb[k][disc] = (220, 120 * number - 60, 40)
            ids[k][disc] = number
    return Scenes(rgb_NHWC=rgb, instances_NHW=ids)


def test_decoding_many_pictures_at_once_equals_the_official_door() -> None:
    torch.manual_seed(0)
    sam = build_sam(TINY)
    embeddings = torch.randn(2, 16, 4, 4)
    clicks = torch.tensor([[[5.0, 6.0]], [[20.0, 9.0]], [[1.0, 30.0]], [[16.0, 16.0]]])
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder((clicks, torch.ones(4, 1)), None, None)
        logits, quality = decode(sam, embeddings, sparse, dense)
        for k, picture in enumerate((0, 0, 1, 1)):
            masks, iou = sam.mask_decoder(
                image_embeddings=embeddings[picture : picture + 1],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse[k : k + 1],
                dense_prompt_embeddings=dense[k : k + 1],
                multimask_output=True,
            )
            torch.testing.assert_close(masks[0], logits[k, 1:], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(iou[0], quality[k, 1:], atol=1e-5, rtol=1e-4)


def test_prompts_meet_their_targets() -> None:
    instances = discs(6).instances_NHW.astype(np.int64)
    prompts = draw_prompts(instances, np.random.default_rng(1), 8, 3)
    for b in range(6):
        for p in range(8):
            x, y = prompts.clicks_BPX[b, p].long().tolist()
            assert prompts.targets_BPHW[b, p, y, x] == 1
            assert float(prompts.is_thing_BP[b, p]) == float(instances[b, y, x] > 0)
        for p in range(3):
            rows, columns = torch.nonzero(prompts.targets_BPHW[b, 8 + p], as_tuple=True)
            left, top, right, bottom = prompts.boxes_BPX[b, p].tolist()
            assert abs(left - columns.min()) <= 3
            assert abs(bottom - rows.max()) <= 3
            assert right > left
            assert bottom > top
    assert 0 < float(prompts.is_thing_BP[:, :8].mean()) < 1, "some clicks meet background"
    assert float(prompts.is_thing_BP[:, 8:].min()) == 1, "boxes never do"


def test_same_seed_same_batch() -> None:
    instances = discs(4).instances_NHW.astype(np.int64)
    first, again, other = (draw_prompts(instances, np.random.default_rng(seed), 3, 1) for seed in (4, 4, 5))
    assert torch.equal(first.clicks_BPX, again.clicks_BPX)
    assert not torch.equal(first.clicks_BPX, other.clicks_BPX)


def test_loss_wants_the_right_mask_and_an_honest_quality() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    right = (20 * (target - 0.5))[:, None].expand(-1, 4, -1, -1)
    thing, ambiguous = torch.ones(1), torch.ones(1)
    good, iou = training._prompt_loss(right, torch.ones(1, 4), target, thing, ambiguous)
    boastful, _ = training._prompt_loss(-right, torch.ones(1, 4), target, thing, ambiguous)
    modest, _ = training._prompt_loss(-right, torch.zeros(1, 4), target, thing, ambiguous)
    assert iou == 1.0
    assert float(good) < 0.1 < float(modest) < float(boastful)


def test_background_clicks_teach_quality_only() -> None:
    logits = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    quality = torch.full((1, 4), 0.5, requires_grad=True)
    loss, _ = training._prompt_loss(logits, quality, torch.ones(1, 8, 8), torch.zeros(1), torch.ones(1))
    loss.backward()
    assert logits.grad is not None
    assert quality.grad is not None
    assert float(logits.grad.abs().max()) == 0
    assert float(quality.grad.min()) > 0, "down, towards 0"


def test_one_of_three_readings_is_enough_for_a_click_but_not_for_a_box() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    right = 20 * (target - 0.5)
    logits = torch.stack([right, -right, right, -right], dim=1)
    quality = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    clicked, _ = training._prompt_loss(logits, quality, target, torch.ones(1), torch.ones(1))
    boxed, _ = training._prompt_loss(logits.flip(1), quality.flip(1), target, torch.ones(1), torch.zeros(1))
    assert float(clicked) < 0.1 < float(boxed)


def test_corrective_clicks_fall_where_the_mask_is_wrong() -> None:
    truth = np.zeros((2, 16, 16), dtype=np.bool_)
    truth[:, 4:12, 4:12] = True
    predicted = truth.copy()
    predicted[0, 8:12, 4:12] = False
    predicted[1, 0:3, 0:3] = True
    clicks, labels = training._corrective_clicks(predicted, truth, np.random.default_rng(0))
    assert labels.tolist() == [1.0, 0.0]
    for (x, y), wrong in zip(clicks.long().tolist(), predicted != truth, strict=True):
        assert wrong[y, x]


def test_reframing_moves_picture_and_labels_together() -> None:
    scenes = discs(16, 64)
    rgb = torch.from_numpy(scenes.rgb_NHWC).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(scenes.instances_NHW.astype(np.int64))
    moved, moved_labels, shown = reframe(rgb, labels, np.random.default_rng(3))
    bright = (moved[:, 0] > 0.5) & (shown > 0)
    agreement = (bright == (moved_labels > 0)).float().mean()
    assert float(agreement) > 0.97
    assert float(shown.mean()) < 1, "some pictures do not fill the square"
    assert not torch.equal(moved_labels, labels)
    assert float(moved_labels[shown == 0].abs().max()) == 0


def test_recoloring_keeps_shape_and_range() -> None:
    rgb = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    changed = recolor(rgb, np.random.default_rng(0))
    assert changed.shape == rgb.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert not torch.equal(changed, rgb)


def test_a_few_steps_teach_discs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TOYBOX_SAM", TINY)
    scenes = discs(32)
    few = Scenes(rgb_NHWC=scenes.rgb_NHWC[:4], instances_NHW=scenes.instances_NHW[:4])
    task = SegmenterTask(scenes, few, batch_size=6)
    optimizer = torch.optim.AdamW(task.sam.parameters(), lr=4e-3)
    ious = []
    for step in range(70):
        loss, figures = task.loss(task.draw(np.random.default_rng([0, step])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ious.append(float(figures["iou"]))
    assert np.mean(ious[-10:]) > np.mean(ious[:10]) + 0.15
    found = task.validate()
    assert 0 <= found["automatic_iou"] <= 1
    assert task.sheet().shape == (4 * 32, 4 * 32, 3)


def test_figures_of_a_segmenter_that_answers_everything_with_the_picture() -> None:
    scenes = discs(4)
    sam = build_sam(TINY)
    with torch.no_grad():
        for head in sam.mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.fill_(1.0)
        sam.mask_decoder.output_upscaling[-2].weight.zero_()
        sam.mask_decoder.output_upscaling[-2].bias.fill_(1.0)
    figures = evaluate(SamSegmenter(sam, TINY), scenes, automatic=4)
    share = float((scenes.instances_NHW == MAIN).mean())
    assert figures["click_iou"] == pytest.approx(share, rel=0.2)
    assert figures["automatic_iou"] == 0.0, "the whole picture is no subject"
    assert F.relu(torch.tensor(figures["pictures"])) == 4
