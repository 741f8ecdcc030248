"""Turntable video: the asset turning once, its colours beside its normals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lift3d_ray.cameras import DEFAULT_FOVY_DEG, orbit_c2w
from lift3d_ray.errors import ConfigError, ExportError
from lift3d_ray.export.files import replacing
from lift3d_ray.mesh.rasterize import normal_colors, rasterize, to_uint8
from lift3d_ray.types import Mesh, UInt8

FRAMES_PER_SECOND = 15


def turntable_frames(
    mesh: Mesh,
    *,
    frames: int = 36,
    size: int = 256,
    elevation_deg: float = 15.0,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    supersample: int = 2,
) -> UInt8:
    """One turn around the asset, starting at its front.

    Args:
        mesh: the asset.
        frames: pictures in the turn.
        size: height of a picture, and half its width, in pixels.
        elevation_deg: height of the camera above the horizon.
        fovy_deg: vertical field of view, degrees.
        supersample: samples a pixel along each axis.

    Returns:
        (V, H, 2W, 3) uint8: colours over white on the left, normals as the camera sees them on the right.
    """
    if frames < 1:
        raise ConfigError(f"a turntable needs 1 or more frames, got {frames}")
    c2w_V44 = orbit_c2w(np.arange(frames) * (360.0 / frames), elevation_deg)
    views = rasterize(mesh, c2w_V44, size=size, fovy_deg=fovy_deg, supersample=supersample)
    return np.concatenate([to_uint8(views.rgb_VHWC), normal_colors(views, c2w_V44)], axis=2)


def write_turntable(frames_VHWC: UInt8, path: Path, *, fps: int = FRAMES_PER_SECOND) -> Path:
    """Writes pictures as an MP4 that every browser plays: H.264, yuv420p, the index at the front.

    Args:
        frames_VHWC: (V, H, W, 3) uint8; height and width even, as the codec wants.
        path: file to write, ending in ``.mp4``.
        fps: frames a second.

    Raises:
        ConfigError: the frames have another shape or odd sides.
        ExportError: the encoder failed, or the file cannot be written.
    """
    if frames_VHWC.ndim != 4 or frames_VHWC.shape[-1] != 3 or len(frames_VHWC) == 0:
        raise ConfigError(f"a turntable wants frames (V, H, W, 3), got shape {frames_VHWC.shape}")
    height, width = frames_VHWC.shape[1:3]
    if height % 2 or width % 2:
        raise ConfigError(f"H.264 with yuv420p wants even sides, got {width} x {height}; choose an even size")
    from imageio_ffmpeg import write_frames

    # Bit-exact flags leave out the encoder's name and the date, so that the same frames give the same file.
    options = ["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart"]
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-threads", "1"]
    with replacing(path) as temporary:
        writer = write_frames(
            str(temporary),
            (width, height),
            fps=fps,
            codec="libx264",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,
            ffmpeg_log_level="error",
            output_params=[*options, *exact],
        )
        try:
            writer.send(None)
            for frame in frames_VHWC:
                writer.send(np.ascontiguousarray(frame))
        except (OSError, RuntimeError) as error:
            raise ExportError(f"the video encoder failed on {path.name}: {error}") from error
        finally:
            writer.close()
        if temporary.stat().st_size == 0:
            raise ExportError(f"the video encoder wrote nothing for {path.name}; check that ffmpeg has libx264")
    return path
