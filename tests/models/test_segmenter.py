"""The segmenter role over official Sams of several sizes, with fresh weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.errors import BundleError, ConfigError, PhotoTooSmall
from lift3d_ray.models.segmenter import (
    SamConfig,
    SamSegmenter,
    build_sam,
    load_segmenter,
    save_segmenter,
)
from lift3d_ray.types import MaskProposal, SegmentQuery, UInt8

TINY = SamConfig(
    image_size=32,
    patch_size=8,
    encoder_dim=16,
    encoder_depth=2,
    encoder_heads=2,
    window_size=0,
    global_attention=(),
    relative_positions=False,
    prompt_dim=16,
    mask_channels=4,
    decoder_heads=2,
    decoder_mlp_dim=16,
    iou_dim=16,
    automatic_side_px=48,
    points_per_side=3,
    pred_iou_thresh=-10.0,
    stability_score_thresh=0.0,
)


def picture(seed: int, size: tuple[int, int] = (40, 56)) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def random_sam(config: SamConfig = TINY) -> torch.nn.Module:
    """Fresh weights from a fixed seed, large enough for masks that differ from picture to picture."""
    sam: torch.nn.Module = build_sam(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in sam.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3, generator=generator)
    return sam


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_segmenter(tmp_path, random_sam(), TINY, torch.float16)
    return tmp_path


def same(a: list[MaskProposal], b: list[MaskProposal]) -> bool:
    return len(a) == len(b) and all(
        x.score == y.score and np.array_equal(x.mask_HW, y.mask_HW) for x, y in zip(a, b, strict=True)
    )


def click(seed: int, at: tuple[float, float] = (20.0, 20.0)) -> SegmentQuery:
    return SegmentQuery(rgb_HWC=picture(seed), points_xy_px=(at,), labels=(True,))


def test_one_click_gives_readings_sorted_by_predicted_iou(folder: Path) -> None:
    proposals = load_segmenter(folder).segment(click(0))
    assert 1 < len(proposals) <= 3
    scores = [proposal.score for proposal in proposals]
    assert scores == sorted(scores, reverse=True)
    assert all(proposal.mask_HW.shape == (40, 56) and proposal.mask_HW.dtype == np.bool_ for proposal in proposals)
    assert all(0 <= score <= 1 for score in scores)


def test_box_and_two_clicks_give_one_mask(folder: Path) -> None:
    segmenter = load_segmenter(folder)
    boxed = SegmentQuery(rgb_HWC=picture(0), box_xyxy_px=(5, 5, 30, 30))
    clicked = SegmentQuery(rgb_HWC=picture(0), points_xy_px=((10, 10), (30, 30)), labels=(True, False))
    assert len(segmenter.segment(boxed)) <= 1
    assert len(segmenter.segment(clicked)) <= 1


def test_nothing_plausible_is_an_empty_list() -> None:
    segmenter = SamSegmenter(random_sam(), replace(TINY, pred_iou_thresh=1e6))
    assert segmenter.segment(SegmentQuery(rgb_HWC=picture(1))) == []


def test_interleaved_threads_never_mix_pictures(folder: Path) -> None:
    segmenter = load_segmenter(folder)
    queries = [click(seed, (10.0 + seed, 20.0)) for seed in range(4)]
    alone = [segmenter.segment(query) for query in queries]
    assert not same(alone[0], alone[1])
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda k: segmenter.segment(queries[k % 4]), range(48)))
    assert all(same(answer, alone[k % 4]) for k, answer in enumerate(together))


def test_half_precision_encoder_answers_nearly_the_same(folder: Path) -> None:
    full = load_segmenter(folder).segment(click(0))
    half = load_segmenter(folder, dtype=torch.bfloat16).segment(click(0))
    assert half[0].score == pytest.approx(full[0].score, abs=0.1)
    assert np.mean(half[0].mask_HW == full[0].mask_HW) > 0.9


WINDOWED = replace(
    TINY, window_size=3, global_attention=(1,), relative_positions=True, prompt_dim=32, decoder_heads=8
)


def test_a_pth_beside_its_configuration(tmp_path: Path) -> None:
    config = replace(WINDOWED, weights="sam_vit_x.pth")
    sam = random_sam(config)
    save_segmenter(tmp_path, sam, replace(config, weights="unused.safetensors"), torch.float32)
    torch.save(sam.state_dict(), tmp_path / "sam_vit_x.pth")
    found = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**found, "weights": "sam_vit_x.pth"}))
    assert same(load_segmenter(tmp_path).segment(click(0)), SamSegmenter(sam, config).segment(click(0)))


def test_a_published_pth_alone_says_its_sizes_by_its_shapes(tmp_path: Path) -> None:
    sam = random_sam(WINDOWED)
    torch.save(sam.state_dict(), tmp_path / "sam_vit_x.pth")
    loaded = load_segmenter(tmp_path)
    assert same(loaded.segment(click(0)), SamSegmenter(sam, WINDOWED).segment(click(0)))
    torch.save(sam.state_dict(), tmp_path / "other.pth")
    with pytest.raises(BundleError, match=r"other\.pth.*leave the one"):
        load_segmenter(tmp_path)
    (tmp_path / "other.pth").unlink()
    torch.save({"weight": torch.zeros(3)}, tmp_path / "sam_vit_x.pth")
    with pytest.raises(BundleError, match="does not hold a published Sam"):
        load_segmenter(tmp_path)


def test_a_convolutional_encoder_takes_the_place_of_the_vit(tmp_path: Path) -> None:
    config = replace(TINY, conv_widths=(4, 8, 8))
    sam = random_sam(config)
    save_segmenter(tmp_path, sam, config, torch.float32)
    assert any(name.startswith("image_encoder.stages") for name in sam.state_dict())
    assert same(load_segmenter(tmp_path).segment(click(0)), SamSegmenter(sam, config).segment(click(0)))
    with pytest.raises(ConfigError, match="at least 3 widths"):
        replace(TINY, conv_widths=(4, 8))


class Harmful:
    """Pickled code, as an untrusted ``.pth`` may carry."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run while loading",))


def test_pickled_code_in_a_pth_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, "weights": "bad.pth"}))
    torch.save({"weights": Harmful()}, folder / "bad.pth")
    with pytest.raises(BundleError, match=r"bad\.pth is damaged or not a weight file"):
        load_segmenter(folder)
    assert "run while loading" not in capsys.readouterr().out


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere/config\.json is missing"):
        load_segmenter(folder / "nowhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"model\.safetensors is missing"):
        load_segmenter(folder)


def test_truncated_weights_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BundleError, match=r"model\.safetensors is damaged"):
        load_segmenter(folder)


def test_weights_of_another_size_say_found_and_wanted(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, "encoder_dim": 32}))
    with pytest.raises(BundleError, match=r"found \(.*\), wanted \("):
        load_segmenter(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder_width": 3}, "encoder_width"),
        ({"encoder_heads": 3}, "heads must divide"),
        ({"image_size": 33}, "multiple of patch_size"),
    ],
)
def test_a_config_that_makes_no_sense_is_a_bundle_error(folder: Path, change: dict[str, int], words: str) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, **change}))
    with pytest.raises(BundleError, match=words):
        load_segmenter(folder)


def test_config_checks_itself() -> None:
    with pytest.raises(ConfigError, match="names blocks beyond"):
        replace(TINY, global_attention=(5,))
    with pytest.raises(ConfigError, match="points_per_side"):
        replace(TINY, points_per_side=0)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (SegmentQuery(rgb_HWC=picture(0), points_xy_px=((1, 1),)), "needs a label"),
        (SegmentQuery(rgb_HWC=picture(0), points_xy_px=((99, 1),), labels=(True,)), "must lie in the 56 x 40"),
        (SegmentQuery(rgb_HWC=picture(0), points_xy_px=((1, 1),), labels=(False,)), "all off the subject"),
        (SegmentQuery(rgb_HWC=picture(0), box_xyxy_px=(9, 9, 9, 20)), "at least a pixel"),
        (SegmentQuery(rgb_HWC=picture(0)[..., 0]), r"must be \(H, W, 3\) uint8"),
    ],
)
def test_prompts_that_contradict_themselves(folder: Path, query: SegmentQuery, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_segmenter(folder).segment(query)


def test_a_sliver_of_a_picture_is_refused(folder: Path) -> None:
    with pytest.raises(PhotoTooSmall, match="too narrow"):
        load_segmenter(folder).segment(SegmentQuery(rgb_HWC=picture(0, (4, 900))))


class Looker(SamSegmenter):
    """Answers prompts with a given mask of the crop, and remembers what it was shown."""

    def __init__(self, answer: Callable[[SegmentQuery], UInt8]) -> None:
        super().__init__(random_sam(), TINY)
        self.answer, self.seen = answer, []  # type: ignore[var-annotated]

    def _prompted(self, query: SegmentQuery) -> list[MaskProposal]:
        self.seen.append(query)
        return [MaskProposal(mask_HW=self.answer(query) > 0, score=0.9)]


def inside_the_box(query: SegmentQuery) -> UInt8:
    mask = np.zeros(query.rgb_HWC.shape[:2], dtype=np.uint8)
    assert query.box_xyxy_px is not None
    left, top, right, bottom = (round(edge) for edge in query.box_xyxy_px)
    mask[top:bottom, left:right] = 1
    mask[top, left] = 0
    return mask


def rough(rows: slice, columns: slice) -> MaskProposal:
    mask = np.zeros((200, 300), dtype=bool)
    mask[rows, columns] = True
    return MaskProposal(mask_HW=mask, score=0.8)


def test_a_second_look_is_closer_and_comes_back_to_its_place() -> None:
    looker, first = Looker(inside_the_box), rough(slice(150, 195), slice(240, 290))
    again = looker._look_again(picture(0, (200, 300)), first)
    (shown,) = looker.seen
    assert shown.rgb_HWC.shape[:2] == (60, 60)
    assert again.mask_HW.shape == first.mask_HW.shape
    assert again.mask_HW.sum() == first.mask_HW.sum() - 1
    assert not again.mask_HW[150, 240]


def test_a_second_look_that_sees_another_thing_does_not_count() -> None:
    looker, first = Looker(lambda query: 1 - inside_the_box(query)), rough(slice(50, 90), slice(100, 150))
    assert looker._look_again(picture(0, (200, 300)), first) is first
    assert len(looker.seen) == 1


def test_a_subject_that_fills_the_picture_is_not_looked_at_again() -> None:
    looker, first = Looker(inside_the_box), rough(slice(5, 195), slice(20, 280))
    assert looker._look_again(picture(0, (200, 300)), first) is first
    assert looker.seen == []
