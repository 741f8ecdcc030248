"""The optimizer's plain class, on the route whose pictures are words."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Optimize, Perceived, Report, Route, RunContext
from lift3d_ray.deployments.scenes import LOOK_EVERY_S, Glance, SceneEnd, SceneSetup, SceneTask, SceneWorker, share_done
from lift3d_ray.optimize.look import Sight
from lift3d_ray.service.jobs import LiftOrder
from lift3d_ray.store.keys import picture_digest, picture_seed
from lift3d_ray.subject.select import EVERY
from lift3d_ray.types import Asset, Progress
from tests.batch import fakes


def worker(out: Path, route: Route = fakes.ROUTE) -> SceneWorker:
    share = Share(workers=1, cpus=1, gpus=0, threads=1)
    return SceneWorker(
        SceneSetup(route=route, share=share, out=str(out), bundle="b", bundle_digest="d", app_name="app")
    )


def task(words: str, **order: object) -> SceneTask:
    data = words.encode()
    return SceneTask(
        job_id="j" * 32,
        attempt=2,
        order=LiftOrder(name="x.png", seed=3, **order),  # type: ignore[arg-type]
        picture=data,
        picture_digest=picture_digest(data),
    )


def test_a_job_becomes_the_files_that_submit_would_write(tmp_path: Path) -> None:
    end = worker(tmp_path).lift(task("a mug"))
    assert end.result is not None
    assert (end.result.caption, len(end.result.folders)) == ("a mug", 1)
    folder = tmp_path / end.result.folders[0]
    seed = picture_seed(3, picture_digest(b"a mug"))
    assert (folder / "asset.glb").read_text() == f"a mug {seed}"
    assert end.result.stored_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert list((tmp_path / "ledger/claims").iterdir()) == []


def test_every_thing_has_a_folder_of_its_own(tmp_path: Path) -> None:
    end = worker(tmp_path).lift(task("a mug | a cup", selection=EVERY))
    assert end.result is not None
    texts = [(tmp_path / folder / "asset.glb").read_text() for folder in end.result.folders]
    digest = picture_digest(b"a mug | a cup")
    assert texts == [f"a mug {picture_seed(3, digest, 1)}", f"a cup {picture_seed(3, digest, 2)}"]


@pytest.mark.parametrize(
    ("words", "code"), [("nothing", "no-subject"), ("diverge", "optimization-failed"), ("bug", "internal")]
)
def test_what_goes_wrong_is_the_jobs_failure(tmp_path: Path, words: str, code: str) -> None:
    hand = worker(tmp_path)
    end = hand.lift(task(words))
    assert end.failure is not None
    assert end.failure.code == code
    assert hand.lift(task("fine")).result is not None


def test_a_running_job_can_be_glanced_at_and_stopped(tmp_path: Path) -> None:
    hand, ends = worker(tmp_path), list[SceneEnd]()
    thread = threading.Thread(target=lambda: ends.append(hand.lift(task("slow 200"))))
    thread.start()
    glance: Glance = hand.glance(0)
    deadline = time.monotonic() + 20
    while glance.progress.stage != "optimize" or glance.progress.step < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        glance = hand.glance(0)
    assert glance.progress.steps == 200
    assert 0 < glance.share < 1
    hand.stop()
    thread.join(5)
    assert ends == [SceneEnd()]
    assert not (tmp_path / "assets").exists()


def test_a_sight_becomes_a_picture_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Glance] = []
    drawn: list[int] = []

    def open_optimize(context: RunContext, share: Share) -> Optimize:
        def optimize(perceived: Perceived, *, seed: int, report: Report) -> Asset:
            for step in range(5):

                def look(step: int = step) -> np.ndarray:
                    drawn.append(step)
                    return np.full((8, 32, 3), 40 * step, np.uint8)

                report(Sight(stage="optimize", step=step, steps=5, look=look))
                seen.append(hand.glance(0))
            return fakes.asset(perceived.perception, seed)

        return optimize

    monkeypatch.setattr("lift3d_ray.deployments.scenes.LOOK_SHARE", 1.0)
    route = Route(
        open_perceive=fakes.open_perceive,
        open_find=fakes.open_find,
        open_optimize=open_optimize,
        write=fakes.write,
        needs_models=False,
    )
    hand = worker(tmp_path, route)
    assert hand.lift(task("a mug")).result is not None
    assert drawn == [0], f"one in {LOOK_EVERY_S} s"
    assert seen[0].jpeg.startswith(b"\xff\xd8")
    assert type(seen[0].progress) is Progress
    assert (hand.glance(1).sight, hand.glance(1).jpeg) == (1, b"")


def test_the_share_grows_through_the_stages_and_seeds() -> None:
    stages = ["segment", "pose", "optimize 1/2", "refine 1/2", "optimize 2/2", "refine 2/2", "export"]
    shares = [share_done(Progress(stage=stage, step=1, steps=2)) for stage in stages]
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1
