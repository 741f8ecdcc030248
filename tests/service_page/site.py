"""The service with its page on a port of this machine: a real store and dispatcher, optimizers that only pretend."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import lift3d_ray.service
from lift3d_ray.batch.failures import Failure
from lift3d_ray.deployments.dispatch import DispatchConfig, Dispatcher
from lift3d_ray.deployments.hands import Hand
from lift3d_ray.deployments.scenes import Glance, SceneEnd, SceneTask
from lift3d_ray.export.write import write_asset
from lift3d_ray.models.roles import Models
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.jobs import JobResult
from lift3d_ray.types import MaskProposal, Progress, SegmentQuery, UInt8
from tests.export.assets import PROVENANCE, small_asset
from tests.service_api import world as worlds
from tests.service_api.world import World, make_world, over_http

PAGE_FOLDER = Path(lift3d_ray.service.__file__).parent / "web"
RED, BLUE = (210, 40, 40), (40, 60, 210)
RED_AT, BLUE_AT = (0.25, 0.5), (0.75, 0.5)
"""Where the middle of each thing is, in fractions of the picture."""
_STAGES = ("segment", "caption", "depth", "pose", "coarse", "optimize", "optimize", "optimize", "mesh", "export")
_QUICK = DispatchConfig(lanes=2, lease_s=5.0, beat_s=0.05, poll_s=0.05, idle_s=5.0, scene_s=60.0, stop_s=0.5)


def two_things() -> UInt8:
    """(240, 320, 3) uint8: a red square on the left and a blue disc on the right, on grey."""
    rgb = np.full((240, 320, 3), 205, np.uint8)
    rgb[75:165, 35:125] = RED
    y, x = np.mgrid[:240, :320]
    rgb[(x - 240) ** 2 + (y - 120) ** 2 < 55**2] = BLUE
    return rgb


def png(rgb_HWC: UInt8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb_HWC).save(stream, "PNG")
    return stream.getvalue()


class ThingSegmenter:
    """Things are what is connected and differs from the border; clicks and boxes say which."""

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        rgb = query.rgb_HWC.astype(np.float32)
        border = np.median(np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]), axis=0)
        labels_HW, count = ndimage.label(np.abs(rgb - border).max(axis=-1) > 24)
        things = {number: labels_HW == number for number in range(1, count + 1)}
        clicked = {True: set[int](), False: set[int]()}
        for (x, y), positive in zip(query.points_xy_px, query.labels, strict=True):
            clicked[positive].add(int(labels_HW[int(y), int(x)]))
        if clicked[True]:
            things = {number: mask for number, mask in things.items() if number in clicked[True]}
        if query.box_xyxy_px is not None:
            x0, y0, x1, y1 = (int(edge) for edge in query.box_xyxy_px)
            things = {n: mask for n, mask in things.items() if mask[y0:y1, x0:x1].sum() > 0.5 * mask.sum()}
        kept = [mask for number, mask in things.items() if number not in clicked[False]]
        kept.sort(key=lambda mask: -mask.sum())
        if clicked[True] and len(kept) > 1:
            kept = [np.logical_or.reduce(kept)]
        return [MaskProposal(mask_HW=mask, score=0.9) for mask in kept]


@cache
def asset_files() -> Mapping[str, bytes]:
    """Files of a small asset by name, as an export writes them."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_asset(small_asset(caption="a painted ball"), Path(folder) / "ball", PROVENANCE).folder
        return {path.name: path.read_bytes() for path in made.iterdir()}


@dataclass(eq=False)
class PageHand:
    """Pretends to lift, for as long and as well as its task's name says."""

    files: JobFiles
    task: SceneTask | None = None
    begun: float = 0.0
    stopped: bool = False

    def begin(self, task: SceneTask) -> None:
        self.task, self.begun, self.stopped = task, time.monotonic(), False

    @property
    def seconds(self) -> float:
        assert self.task is not None
        return 30.0 if "slow" in self.task.order.name else 0.6

    def ended(self, timeout_s: float) -> SceneEnd | None:
        assert self.task is not None
        time.sleep(timeout_s)
        if self.stopped:
            return SceneEnd()
        if time.monotonic() - self.begun < self.seconds:
            return None
        if "fails" in self.task.order.name:
            return SceneEnd(failure=Failure(code="optimization-failed", message="the density vanished at step 40"))
        count = 2 if self.task.order.selection.every else 1
        folders = tuple(f"assets/{self.task.job_id}-{self.task.attempt}-{number}" for number in range(1, count + 1))
        for folder in folders:
            for name, data in asset_files().items():
                self.files.root.write(f"{folder}/{name}", data)
        caption = "a painted ball" if count == 1 else ""
        return SceneEnd(result=JobResult(folders=folders, caption=caption, stored_bytes=1))

    def glance(self, seen: int) -> Glance | None:
        share = min(1.0, (time.monotonic() - self.begun) / self.seconds)
        at = min(len(_STAGES) - 1, int(share * len(_STAGES)))
        progress = Progress(stage=_STAGES[at], step=int(share * 500), steps=500)
        sight = int(share * 20) if _STAGES[at] == "optimize" else 0
        jpeg = _sight(sight) if sight > seen else b""
        return Glance(progress=progress, share=share, sight=sight, jpeg=jpeg)

    def stop(self) -> None:
        self.stopped = True

    def dismiss(self) -> None:
        self.stopped = True


def _sight(number: int) -> bytes:
    rgb_HWC = np.full((112, 448, 3), 255, np.uint8)
    y, x = np.mgrid[:112, :448]
    for view in range(4):
        rgb_HWC[(x - 56 - 112 * view) ** 2 + (y - 56) ** 2 < (10 + number) ** 2] = (200, 80 + 30 * view, 60)
    stream = io.BytesIO()
    Image.fromarray(rgb_HWC).save(stream, "JPEG")
    return stream.getvalue()


@dataclass
class PageCrew:
    """Hires without limit."""

    files: JobFiles
    hands: list[PageHand] = field(default_factory=list)

    def hire(self) -> Hand:
        self.hands.append(PageHand(self.files))
        return self.hands[-1]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running service."""

    url: str
    world: World
    crew: PageCrew


def things_models() -> Models:
    return replace(_plain_models(), segmenter=ThingSegmenter())


_plain_models = worlds.models


@contextmanager
def site(tmp_path: Path, *, keys: Mapping[str, str] | None = None) -> Iterator[Site]:
    """The service, for the length of the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worlds, "models", things_models)
        world = make_world(tmp_path, keys=keys, web=PAGE_FOLDER)
    crew = PageCrew(world.files)
    dispatcher = Dispatcher(world.store, world.files, crew, _QUICK, name="page")
    dispatcher.start()
    try:
        with over_http(world) as url:
            yield Site(url=url, world=world, crew=crew)
    finally:
        dispatcher.close(0.0)
        world.store.database.close()


def wait_until(true: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)
