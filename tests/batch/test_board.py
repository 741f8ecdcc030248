from __future__ import annotations

from lift3d_ray.batch.board import BUSY, RunBoard, RunState
from lift3d_ray.types import Progress


def test_a_row_that_begins_again_lost_its_worker() -> None:
    board = RunBoard(1)
    assert [board.begin("optimize", "k", "/a", "a") for _ in range(3)] == [1, 2, 3]


def test_stages_are_counted_apart() -> None:
    board = RunBoard(1)
    assert board.begin("perceive", "k", "/a", "a") == 1
    assert board.begin("optimize", "k", "/a", "a") == 1


def test_a_row_that_came_through_may_be_taken_up_again() -> None:
    """A worker that reads many rows and dies on the last does the first ones again."""
    board = RunBoard(1)
    for _ in range(5):
        assert board.begin("perceive", "k", "/a", "a") == 1
        board.wait("perceive", "k")


def test_a_row_with_the_same_picture_waits_its_turn() -> None:
    board = RunBoard(2)
    board.begin("perceive", "k", "/a", "a")
    assert board.begin("perceive", "k", "/b", "b") == BUSY
    board.end("k", "/b", "elsewhere")
    assert board.begin("optimize", "k", "/a", "a") == 1
    board.end("k", "/a", "done")
    assert board.begin("perceive", "k", "/b", "b") == 1


def test_every_row_is_counted_once_however_often_it_ends() -> None:
    board = RunBoard(4)
    for _ in range(2):
        board.begin("optimize", "k", "/a", "a")
        board.end("k", "/a", "done")
        board.end("k", "/b", "skipped")
        board.end("q", "/c", "failed")
        board.end("q", "/d", "elsewhere")
    state = board.state()
    assert (state.done, state.skipped, state.failed, state.left) == (1, 1, 1, 1)


def test_running_scenes_show_their_last_report() -> None:
    board = RunBoard(1)
    board.report("k", Progress(stage="late", step=0, steps=1))
    board.begin("optimize", "k", "/a", "a.png")
    board.report("k", Progress(stage="optimize", step=7, steps=9, loss=0.5))
    (scene,) = board.state().running
    assert (scene.name, scene.progress.step, scene.progress.loss) == ("a.png", 7, 0.5)
    board.wait("optimize", "k")
    assert board.state().running == ()


def test_the_time_to_go_follows_the_rows_done() -> None:
    assert RunState(phase="", rows=10, working_s=5).eta_s is None
    assert RunState(phase="", rows=10, done=2, failed=1, skipped=3, working_s=10).eta_s == 20
    assert RunState(phase="", rows=2, done=2, working_s=10).eta_s == 0
