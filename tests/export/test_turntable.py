from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from lift3d_ray.errors import ConfigError, ExportError
from lift3d_ray.export.turntable import FRAMES_PER_SECOND, turntable_frames, write_turntable
from tests.export.assets import colourful_ball
from tests.mesh.shapes import ball, flat


def test_frames_turn_once_and_show_normals_beside() -> None:
    mesh = ball(0.3, lambda xyz: np.broadcast_to(np.array([1, 0, 0], np.float32), xyz.shape), centre=(0.5, 0, 0))
    frames = turntable_frames(mesh, frames=4, size=32, elevation_deg=0)
    assert frames.shape == (4, 32, 64, 3)
    assert frames.dtype == np.uint8
    red = (frames[:, :, :32, 1] < 128).nonzero()
    centres = [red[2][red[0] == k].mean() for k in range(4)]
    # In front, right of the middle; then it comes towards the camera; then it is on the left.
    assert centres == pytest.approx([22, 16, 9, 16], abs=1.0)
    middle = frames[1, 16, 32 + 16].astype(int)
    assert middle == pytest.approx([128, 128, 255], abs=10)


# The reader of imageio-ffmpeg leaves its pipes to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_video_is_what_browsers_play(tmp_path: Path) -> None:
    frames = turntable_frames(colourful_ball(), frames=6, size=48, supersample=1)
    path = write_turntable(frames, tmp_path / "turntable.mp4")
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    shown = np.stack([np.frombuffer(frame, np.uint8).reshape(48, 96, 3) for frame in reader])
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["size"] == (96, 48)
    assert facts["fps"] == FRAMES_PER_SECOND
    assert len(shown) == 6
    assert np.abs(shown.astype(int) - frames).mean() < 6
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert [entry.name for entry in tmp_path.iterdir()] == ["turntable.mp4"]


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    frames = turntable_frames(ball(0.5, flat(0.2, 0.5, 0.8), resolution=16), frames=3, size=32)
    files = [write_turntable(frames, tmp_path / name).read_bytes() for name in ("one.mp4", "other.mp4")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("shape", "words"), [((2, 31, 64, 3), "even sides"), ((2, 32, 64), "V, H, W, 3"), ((0, 32, 64, 3), "V, H, W, 3")]
)
def test_frames_the_codec_cannot_take_are_refused(shape: tuple[int, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        write_turntable(np.zeros(shape, np.uint8), tmp_path / "x.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot write"):
        write_turntable(np.zeros((1, 32, 64, 3), np.uint8), tmp_path / "nowhere" / "x.mp4")


def test_a_turn_needs_frames() -> None:
    with pytest.raises(ConfigError, match="1 or more frames"):
        turntable_frames(colourful_ball(), frames=0)
