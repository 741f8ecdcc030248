"""The training loop: it learns, it is resumable to the same end, and it refuses a foreign checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lift3d_ray.errors import ConfigError
from lift3d_ray.toybox.training.harness import TrainingPlan, train
from lift3d_ray.types import UInt8

PLAN = TrainingPlan(steps=40, learning_rate=0.2, warmup_steps=2, log_every=10, bf16=False, ema_decay=0.9)


class Line:
    """Learns y = 2 x; dies at a given step."""

    def __init__(self, dies_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1)
        self.steps, self.dies_at = 0, dies_at

    def modules(self) -> dict[str, nn.Module]:
        """The line."""
        return {"line": self.module}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Points drawn with rng, and some of torch's own noise."""
        return torch.from_numpy(rng.standard_normal((8, 1)).astype(np.float32)), 0.01 * torch.randn(8, 1)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error, with more of torch's own noise."""
        if self.steps == self.dies_at:
            raise KeyboardInterrupt
        self.steps += 1
        x, noise = batch
        error = self.module(x) - 2 * x + noise + 0.01 * torch.randn_like(x)
        return error.square().mean(), {"largest": error.detach().abs().max()}

    def validate(self) -> dict[str, float]:
        """The slope."""
        return {"slope": float(self.module.weight)}

    def sheet(self) -> UInt8:
        """A grey square."""
        return np.full((4, 4, 3), 128, dtype=np.uint8)


def test_it_learns_logs_and_draws(tmp_path: Path) -> None:
    figures = train(Line(), PLAN, tmp_path, progress=lambda line: None)
    assert figures["slope"] == pytest.approx(2, abs=0.3)
    assert figures["steps"] == 40
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert lines[-1]["largest"] < lines[0]["largest"]
    assert (tmp_path / "sheet.png").exists()


def test_a_killed_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = train(Line(), PLAN, tmp_path / "whole", progress=lambda line: None)
    often = replace(PLAN, checkpoint_every_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(Line(dies_at=17), often, tmp_path / "killed", progress=lambda line: None)
    resumed = train(Line(), often, tmp_path / "killed", progress=lambda line: None)
    assert resumed["slope"] == whole["slope"]


def test_other_processes_draw_the_same_batches(tmp_path: Path) -> None:
    alone = train(Line(), PLAN, tmp_path / "alone", progress=lambda line: None)
    helped = train(Line(), replace(PLAN, loaders=2), tmp_path / "helped", progress=lambda line: None)
    assert helped["slope"] == alone["slope"]


@pytest.mark.gpu
def test_a_gpu_learns_the_same_line_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    plan = replace(PLAN, device="cuda", loaders=2, checkpoint_every_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(Line(dies_at=17), plan, tmp_path, progress=lambda line: None)
    task = Line()
    figures = train(task, plan, tmp_path, progress=lambda line: None)
    assert figures["slope"] == pytest.approx(2, abs=0.3)
    assert task.module.weight.device.type == "cpu", "trained modules are given back on the CPU"


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    train(Line(), replace(PLAN, steps=3), tmp_path, progress=lambda line: None)
    with pytest.raises(ConfigError, match="seed"):
        train(Line(), replace(PLAN, seed=1), tmp_path, progress=lambda line: None)


def test_a_plan_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="steps"):
        TrainingPlan(steps=0, learning_rate=1e-3)
