"""The captioner's and the encoder's training tasks: losses that mean what they say, and learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lift3d_ray.models.captioner import load_captioner  # noqa: E402
from lift3d_ray.models.clip import load_clip  # noqa: E402
from lift3d_ray.toybox.training.captioner import train_captioner  # noqa: E402
from lift3d_ray.toybox.training.clip import also_true, contrast, train_clip  # noqa: E402
from lift3d_ray.toybox.training.harness import TrainingPlan  # noqa: E402
from lift3d_ray.toybox.training.phrases import UNSAID  # noqa: E402
from tests.toybox.training.small import write_small_shard  # noqa: E402

PLAN = TrainingPlan(steps=2, learning_rate=1e-3, warmup_steps=1, bf16=False, log_every=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    write_small_shard(folder, 4)
    return folder


def test_the_captioner_is_trained_and_written(data: Path, tmp_path: Path) -> None:
    figures = train_captioner(data, data, tmp_path / "work", tmp_path / "bundle", plan=PLAN)
    assert figures["steps"] == 2
    assert json.loads((tmp_path / "bundle" / "training.json").read_text())["samples"] == figures["samples"]
    assert load_captioner(tmp_path / "bundle").caption(np.zeros((50, 50, 3), np.uint8))
    assert (tmp_path / "work" / "sheet.png").is_file()


def test_the_encoder_is_trained_and_written(data: Path, tmp_path: Path) -> None:
    train_captioner(data, data, tmp_path / "captioner", tmp_path / "bundle" / "captioner", plan=PLAN)
    train_clip(data, data, tmp_path / "clip", tmp_path / "bundle" / "clip", plan=PLAN)
    # The tower stays the captioner's, statistics and all.
    tower = load_captioner(tmp_path / "bundle" / "captioner").model.vision_model.state_dict()
    kept = load_clip(tmp_path / "bundle" / "clip").model.vision_model.state_dict()
    for name, value in tower.items():
        torch.testing.assert_close(kept[name], value)
    vectors = load_clip(tmp_path / "bundle" / "clip").encode_texts(["a red mug", "a photo of a blue car, side view"])
    assert vectors.shape == (2, 96)


def test_sentences_that_are_also_true_are_found() -> None:
    words = np.array([[1, 2, 0, 0, 0], [1, 3, 0, 0, 0], [4, 2, 0, 0, 1]])
    said = np.array([[1, UNSAID, UNSAID, UNSAID, UNSAID], [1, 3, 0, 0, 0], [4, 2, 0, 0, UNSAID]])
    assert also_true(words, said).tolist() == [[False, False, False], [True, False, False], [False, False, False]]


def test_ignored_pairs_do_not_count() -> None:
    logits = torch.tensor([[5.0, 9.0], [0.0, 5.0]])
    ignored = torch.tensor([[False, True], [False, False]])
    assert float(contrast(logits, ignored)) < 0.01
    assert float(contrast(logits, torch.zeros(2, 2, dtype=torch.bool))) > 2
