"""A route whose pictures are instructions: the bytes of a "picture" say in words what becomes of it."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np

from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Find, Optimize, Perceive, Perceived, Report, Route, RunContext
from lift3d_ray.errors import NoSubject, OptimizationFailed
from lift3d_ray.export.result import Provenance
from lift3d_ray.recipes import Quality, Recipe
from lift3d_ray.types import (
    Asset,
    CropMap,
    MaskProposal,
    Mesh,
    Perception,
    PointCloud,
    Progress,
    ReferencePose,
    Subject,
)

RECIPE = Recipe(name="fake", quality=Quality.DRAFT, guidance=())


def lifts(out: str | Path) -> list[str]:
    """What was lifted into an output folder, in words, one for every time."""
    log = Path(f"{out}.lifts")
    return log.read_text().splitlines() if log.exists() else []


def open_perceive(context: RunContext) -> Perceive:
    def perceive(data: bytes, *, name: str, mask: MaskProposal | None = None) -> Perceived:
        words = data.decode() if mask is None else data.decode().split(" | ")[int(mask.score * 100)]
        if "nothing" in words:
            raise NoSubject(f"{name}: nothing to see")
        if "perceive-bug" in words:
            raise KeyError(words)
        if "perceive-death" in words:
            os.kill(os.getpid(), signal.SIGKILL)
        return Perceived(perception=perception(words), photo_height_px=4, photo_width_px=6)

    return perceive


def open_find(context: RunContext) -> Find:
    """The things of a picture are parted by bars, and known again by their scores."""

    def find(data: bytes, *, name: str) -> list[MaskProposal]:
        with open(f"{context.out}.finds", "a") as log:
            log.write(f"{name}\n")
        if "blank" in data.decode():
            raise NoSubject(f"{name}: nothing stands out")
        things = data.decode().split(" | ")
        return [MaskProposal(mask_HW=np.ones((4, 6), bool), score=(i + 0.5) / 100) for i in range(len(things))]

    return find


def open_optimize(context: RunContext, share: Share) -> Optimize:
    def optimize(perceived: Perceived, *, seed: int, report: Report) -> Asset:
        words = perceived.perception.caption
        if "diverge" in words:
            raise OptimizationFailed("it diverged")
        if "bug" in words:
            raise ZeroDivisionError("1 / 0")
        if "death" in words and ("twice" not in words or died_before(context.out, words) < 2):
            os.kill(os.getpid(), signal.SIGKILL)
        steps = int(words.split("slow ")[1].split()[0]) if "slow" in words else 1
        for step in range(steps):
            report(Progress(stage="optimize", step=step, steps=steps, loss=1.0 / (1 + step)))
            time.sleep(0.1 if steps > 1 else 0)
        with open(f"{context.out}.lifts", "a") as log:
            log.write(f"{words}\n")
        return asset(perceived.perception, seed)

    return optimize


def died_before(out: str, words: str) -> int:
    """How often this was called for these words before."""
    mark = Path(f"{out}.{words.replace(' ', '_')}.deaths")
    before = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(before + 1))
    return before


def write(asset: Asset, folder: Path, provenance: Provenance) -> None:
    (folder / "asset.glb").write_text(f"{asset.perception.caption} {asset.seed}")
    (folder / "result.json").write_text(str(dataclasses.asdict(provenance)))


ROUTE = Route(
    open_perceive=open_perceive, open_find=open_find, open_optimize=open_optimize, write=write, needs_models=False
)


def perception(words: str) -> Perception:
    subject = Subject(
        rgb_HWC=np.zeros((4, 4, 3), np.uint8),
        alpha_HW=np.ones((4, 4), np.float32),
        crop=CropMap(x0_px=0, y0_px=0, side_px=4, size_px=4),
        score=1.0,
    )
    return Perception(subject=subject, caption=words, disparity_HW=np.zeros((4, 4), np.float32))


def asset(seen: Perception, seed: int) -> Asset:
    one = np.zeros((1, 3), np.float32)
    return Asset(
        mesh=Mesh(vertices_N3=one, faces_F3=np.zeros((1, 3), np.int32), normals_N3=one, colors_N3=one),
        points=PointCloud(xyz_N3=one, rgb_N3=one, normals_N3=one),
        turntable_VHWC=np.zeros((1, 2, 4, 3), np.uint8),
        preview_HWC=np.zeros((2, 4, 3), np.uint8),
        perception=seen,
        pose=ReferencePose(elevation_deg=0.0),
        seed=seed,
        metrics={"reference_psnr": float(np.random.default_rng(seed).random())},
        timings_s={"optimize": 0.5},
    )
