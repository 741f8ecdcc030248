"""One resumable training loop for every role: AdamW, warm-up and cosine decay, weight averaging, checkpoints, logs.

A role is a small class meeting ``Task``. The loop owns the schedule, the random streams, the device and the files, so
that a run killed at any moment goes on from its last checkpoint and ends in the same state as an unbroken one: what
is drawn for step ``i`` depends on ``(seed, i)`` alone, also where other processes draw batches ahead for a GPU.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lift3d_ray.errors import ConfigError
from lift3d_ray.types import UInt8


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long and how a role is trained.

    Attributes:
        steps: optimiser steps in all.
        learning_rate: peak rate of AdamW.
        warmup_steps: linear rise of the rate at the start.
        final_rate_fraction: rate at the end of the cosine, as a fraction of the peak.
        weight_decay: of AdamW, on matrices only.
        ema_decay: decay of the weight average at full length; shorter early on (``(1 + i) / (10 + i)``).
        clip_norm: global gradient norm bound.
        bf16: run the loss under bfloat16 autocast.
        device: torch device to compute on; figures and sheets are made on the CPU.
        loaders: processes that draw batches ahead; 0 = each is drawn when it is needed.
        seed: of weights and batches.
        log_every: steps between log lines.
        validate_every: steps between held-out figures and sheets; 0 = only at the end.
        checkpoint_every_s: seconds between checkpoints.
        threads: torch threads.
    """

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    final_rate_fraction: float = 0.01
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    bf16: bool = True
    device: str = "cpu"
    loaders: int = 0
    seed: int = 0
    log_every: int = 50
    validate_every: int = 0
    checkpoint_every_s: float = 60.0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.learning_rate <= 0:
            raise ConfigError(f"a training plan needs steps >= 1 and a positive rate, got {self}")


class Task(Protocol):
    """What one role brings to the loop."""

    def modules(self) -> dict[str, nn.Module]:
        """Everything that is trained, by name; parameters that do not require gradients stay as they are."""
        ...

    def draw(self, rng: np.random.Generator) -> Any:
        """One batch drawn with ``rng`` (and torch's generator, seeded by the loop): tensors on the CPU, in tuples."""
        ...

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch that lies where the modules are, and scalar figures for the log."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on held-out data. Called with the averaged weights in place."""
        ...

    def sheet(self) -> UInt8:
        """A sample sheet, (H, W, 3) uint8. Called with the averaged weights in place."""
        ...


def train(task: Task, plan: TrainingPlan, out: Path, *, progress: Callable[[str], None] = print) -> dict[str, float]:
    """Train to the end of the plan, going on from ``out/checkpoint.pt`` where there is one.

    Writes ``log.jsonl`` (a line every ``log_every`` steps), ``sheet.png`` and ``checkpoint.pt`` into ``out``; leaves
    the averaged weights in the task's modules.

    Returns:
        The held-out figures, with ``steps`` and ``seconds`` (summed over interrupted runs).
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(plan.threads)
    state = _State.start(task, plan, out / "checkpoint.pt")
    # Loaders are forked before anything is done on the device, which a forked process may not touch.
    batches = iter(_batches(task, plan, state.step))
    state.to(plan.device)
    log = (out / "log.jsonl").open("a", encoding="utf-8")
    last_save, last_tick = time.monotonic(), time.monotonic()
    window: list[dict[str, Tensor]] = []
    with log:
        while state.step < plan.steps:
            window.append(_step(task, plan, state, next(batches)))
            now = time.monotonic()
            state.seconds, last_tick = state.seconds + now - last_tick, now
            if state.step % plan.log_every == 0 or state.step == plan.steps:
                line = _log_line(window, state)
                log.write(json.dumps(line) + "\n")
                log.flush()
                progress(json.dumps(line))
                window = []
            if plan.validate_every and state.step % plan.validate_every == 0 and state.step < plan.steps:
                progress(json.dumps(_validate(task, state, out)))
            if now - last_save > plan.checkpoint_every_s:
                state.save(out / "checkpoint.pt", plan)
                last_save = now
    state.save(out / "checkpoint.pt", plan)
    figures = _validate(task, state, out)
    state.average_into_modules()
    state.to("cpu")
    progress(json.dumps(figures))
    return {**figures, "steps": float(state.step), "seconds": state.seconds}


class _State:
    """Modules, optimiser, averages and the position in the plan."""

    def __init__(self, task: Task, plan: TrainingPlan) -> None:
        self.module = nn.ModuleDict(task.modules())
        trained = [p for p in self.module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": plan.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.99))
        self.average = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self.step = 0
        self.seconds = 0.0

    @classmethod
    def start(cls, task: Task, plan: TrainingPlan, checkpoint: Path) -> _State:
        state = cls(task, plan)
        if checkpoint.exists():
            saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
            if saved["plan"]["seed"] != plan.seed:
                raise ConfigError(
                    f"{checkpoint} was trained with seed {saved['plan']['seed']}, this plan has {plan.seed}: "
                    "use another folder, or the same seed"
                )
            state.module.load_state_dict(saved["module"])
            state.optimizer.load_state_dict(saved["optimizer"])
            state.average = saved["average"]
            state.step, state.seconds = saved["step"], saved["seconds"]
        return state

    def to(self, device: str) -> None:
        """Modules, their averages and the optimiser's moments to a device."""
        self.module.to(device)
        self.average = {name: value.to(device) for name, value in self.average.items()}
        for moments in self.optimizer.state.values():
            for name, value in moments.items():
                # Step counts stay where AdamW wants them.
                if isinstance(value, Tensor) and name != "step":
                    moments[name] = value.to(device)

    def save(self, path: Path, plan: TrainingPlan) -> None:
        partial = path.with_suffix(".tmp")
        torch.save(
            {
                "module": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average,
                "step": self.step,
                "seconds": self.seconds,
                "plan": asdict(plan),
            },
            partial,
        )
        os.replace(partial, path)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        decay = min(decay, (1 + self.step) / (10 + self.step))
        current = self.module.state_dict()
        mixed = [name for name, value in current.items() if value.dtype.is_floating_point]
        torch._foreach_lerp_([self.average[n] for n in mixed], [current[n] for n in mixed], 1 - decay)
        for name in current.keys() - set(mixed):
            self.average[name].copy_(current[name])

    def average_into_modules(self) -> dict[str, Tensor]:
        """Put the averaged weights in place; return the raw ones."""
        raw = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        return raw


class _Draws(Dataset[Any]):
    """The batches of a plan by step."""

    def __init__(self, task: Task, plan: TrainingPlan) -> None:
        self._task, self._plan = task, plan

    def __getitem__(self, step: int) -> Any:
        rng = np.random.default_rng([self._plan.seed, step])
        torch.default_generator.manual_seed(int(rng.integers(2**62)))
        return self._task.draw(rng)


def _batches(task: Task, plan: TrainingPlan, first: int) -> Iterable[Any]:
    """The batches from step ``first`` on, in order."""
    draws = _Draws(task, plan)
    steps = range(first, plan.steps)
    if plan.loaders == 0:
        return (draws[step] for step in steps)
    return DataLoader(
        draws,
        batch_size=None,
        sampler=steps,
        num_workers=plan.loaders,
        prefetch_factor=4,
        collate_fn=_as_it_is,
        pin_memory=plan.device != "cpu",
        multiprocessing_context="fork",
        worker_init_fn=_one_thread,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _moved(batch: Any, device: str) -> Any:
    """The same tuples with their tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple):
        parts = [_moved(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    return batch


def _step(task: Task, plan: TrainingPlan, state: _State, batch: Any) -> dict[str, Tensor]:
    """One optimiser step; its batch and noise depend on (seed, step) alone."""
    state.module.train()
    for group in state.optimizer.param_groups:
        group["lr"] = plan.learning_rate * _rate(state.step, plan)
    seed = int(np.random.default_rng([plan.seed, state.step, 1]).integers(2**62))
    torch.manual_seed(seed)  # noqa: TID251  (the official classes' dropout draws from it)
    with torch.autocast(torch.device(plan.device).type, dtype=torch.bfloat16, enabled=plan.bf16):
        loss, figures = task.loss(_moved(batch, plan.device))
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.module.parameters(), plan.clip_norm)
    if torch.isfinite(norm):
        state.optimizer.step()
    state.step += 1
    state.update_average(plan.ema_decay)
    return {"loss": loss.detach(), "norm": norm, **figures}


def _rate(step: int, plan: TrainingPlan) -> float:
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return plan.final_rate_fraction + (1 - plan.final_rate_fraction) * cosine


def _log_line(window: list[dict[str, Tensor]], state: _State) -> dict[str, float]:
    names = sorted({name for entry in window for name in entry})
    means = {n: round(float(torch.stack([e[n] for e in window if n in e]).mean()), 5) for n in names}
    return {"step": state.step, "seconds": round(state.seconds, 1), **means}


def _validate(task: Task, state: _State, out: Path) -> dict[str, float]:
    from PIL import Image

    raw = state.average_into_modules()
    device = next(iter(raw.values())).device
    state.module.eval().to("cpu")
    torch.manual_seed(0)  # noqa: TID251  (the same figures every time)
    with torch.no_grad():
        figures = task.validate()
        Image.fromarray(task.sheet()).save(out / "sheet.png")
    state.module.to(device).load_state_dict(raw)
    (out / "figures.json").write_text(json.dumps({"step": state.step, **figures}, indent=1), encoding="utf-8")
    return figures
