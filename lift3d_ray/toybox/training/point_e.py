"""The embedded Point-E: from a picture to the coloured points of the toy that it shows, by diffusion.

The cloud stands as the lift's world does: the picture is taken from azimuth 0, and the toy fills the unit ball.

Shape suffixes: B pictures, N points, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.field.cloud import splat
from lift3d_ray.models.point_e.diffusion import PointDiffusion
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.karras import KarrasConfig, denoiser_of, draw
from lift3d_ray.models.point_e.transformer import CHANNELS, PointTransformer, PointTransformerConfig
from lift3d_ray.toybox.training.pictures import develop
from lift3d_ray.toybox.training.point_data import POINTS, PointSet
from lift3d_ray.toybox.training.sheets import picture_grid
from lift3d_ray.types import ColoredPoints, Float32, Int64, UInt8

BATCH = 48
WIDTH, LAYERS, HEADS = 128, 6, 2
INIT_SCALE = 1.0
"""Four times the published one: attention that starts flat needs more steps than a small network is given."""
DIFFUSION = PointDiffusion(channel_scales=(1.0, 1.0, 1.0, 2.0, 2.0, 2.0))
"""Toys lie in the unit ball and colours in [0, 1]."""
SAMPLER = KarrasConfig(steps=24, guidance_scale=2.0)
"""How the embedded network is drawn from; a quarter of the published steps suffices for its blunter clouds."""
_COUNTS, _COUNT_SHARES = (64, 128, 256, POINTS), (0.4, 0.3, 0.22, 0.08)
_UNTOLD_SHARE = 0.1
_BOUND_WEIGHT = 0.1
"""Of the variance, which Karras's sampler does not ask for: at its published 1 it slows the noise's learning."""
_RECOLOURED_SHARE = 0.5
_JUDGED = 48
_JUDGED_POINTS = 256
NEAR = 0.1
"""Points nearer than this to the other cloud count for the F-score, in radii of the unit ball."""


class _Batch(NamedTuple):
    """Pictures in [0, 1], scaled clouds, timesteps, noise, and which rows are told their picture."""

    images_B3HW: Tensor
    clouds_BCN: Tensor
    timesteps_B: Tensor
    noise_BCN: Tensor
    told_B: Tensor


class PointCloudTask:
    """Noise in the clouds of varied crops.

    Few points are shown at most steps, since a step costs as much as it has points, and all of them at some, since the
    network's attention has to know crowds.

    Args:
        train: toys to learn from.
        held_out: toys to judge by.
        eyes: how pictures are seen; stays as it is.
        batch_size: pictures a step of the fewest points; steps of more points have fewer pictures.
        seed: of the initial weights.
    """

    def __init__(
        self, train: PointSet, held_out: PointSet, eyes: PictureGrid, *, batch_size: int = BATCH, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._train, self._held_out, self._eyes, self._size = train, held_out, eyes, batch_size
        self.network = PointTransformer(
            PointTransformerConfig(
                width=WIDTH,
                layers=LAYERS,
                heads=HEADS,
                points=POINTS,
                init_scale=INIT_SCALE,
                condition_width=eyes.width,
                condition_tokens=len(eyes.embed(torch.zeros(1, 3, 64, 64))[0]),
            )
        )

    def modules(self) -> dict[str, nn.Module]:
        """The network."""
        return {"point_cloud": self.network}

    def draw(self, rng: np.random.Generator) -> _Batch:
        """Varied crops and their clouds, some turned into their mirror images, some in other colours."""
        count = int(rng.choice(_COUNTS, p=_COUNT_SHARES))
        size = max(1, self._size * _COUNTS[0] // count)
        images, clouds = _pictures(self._train, rng.integers(len(self._train.rgba_NSSC), size=size), count, rng)
        _mirror(rng, images, clouds)
        _recolour(rng, images, clouds)
        return _Batch(
            develop(images, rng),
            DIFFUSION.to_model(clouds),
            torch.from_numpy(rng.integers(DIFFUSION.timesteps, size=size)),
            torch.from_numpy(rng.standard_normal(clouds.shape, dtype=np.float32)),
            torch.from_numpy(rng.random(size) >= _UNTOLD_SHARE),
        )

    def loss(self, batch: _Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the noise, and the bound that teaches the variance."""
        eyes: nn.Module = self._eyes.encoder.model
        eyes.to(batch.images_B3HW.device)
        with torch.no_grad():
            tokens = self._eyes.embed(batch.images_B3HW) * batch.told_B[:, None, None]
        noised = DIFFUSION.add_noise(batch.clouds_BCN, batch.timesteps_B, batch.noise_BCN)
        output = self.network(noised, batch.timesteps_B, tokens)
        error_B, bound_B = DIFFUSION.losses(output, batch.clouds_BCN, noised, batch.timesteps_B, batch.noise_BCN)
        return (error_B + _BOUND_WEIGHT * bound_B).mean(), {"error": error_B.detach().mean()}

    def validate(self) -> dict[str, float]:
        """On held-out toys: the noise's error, and how near drawn clouds of 256 points come to the true ones."""
        rng = np.random.default_rng(31)
        rows = np.arange(_JUDGED, dtype=np.int64) * (len(self._held_out.rgba_NSSC) // _JUDGED)
        images, clouds = _pictures(self._held_out, rows, _JUDGED_POINTS, rng)
        eyes: nn.Module = self._eyes.encoder.model
        eyes.to("cpu")
        tokens = self._eyes.embed(images)
        drawn = DIFFUSION.from_model(self._draw(tokens, _JUDGED_POINTS))
        true_xyz, _ = self._held_out.seen_points(rows)
        near = [closeness(guess[:3].T.numpy(), truth) for guess, truth in zip(drawn, true_xyz, strict=True)]
        return {
            "noise_error": self._noise_error(tokens, DIFFUSION.to_model(clouds), rng),
            "chamfer": float(np.mean([chamfer for chamfer, _ in near])),
            "f_score": float(np.mean([share for _, share in near])),
        }

    def _noise_error(self, tokens: Tensor, clouds: Tensor, rng: np.random.Generator) -> float:
        timesteps = torch.from_numpy(np.linspace(0, DIFFUSION.timesteps - 1, len(clouds)).astype(np.int64))
        noise = torch.from_numpy(rng.standard_normal(clouds.shape, dtype=np.float32))
        noised = DIFFUSION.add_noise(clouds, timesteps, noise)
        error_B, _ = DIFFUSION.losses(self.network(noised, timesteps, tokens), clouds, noised, timesteps, noise)
        return float(error_B.mean())

    def _draw(self, tokens: Tensor, points: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(len(tokens), CHANNELS, points, generator=generator)
        denoise = denoiser_of(
            self.network, DIFFUSION, guidance_scale=SAMPLER.guidance_scale, condition_BTD=tokens
        )
        return draw(denoise, noise, SAMPLER, generator)

    def sheet(self) -> UInt8:
        """Rows: held-out pictures, their clouds from the front and from the right, and the drawn clouds likewise."""
        rows = np.arange(12, dtype=np.int64) * 15 % len(self._held_out.rgba_NSSC)
        images, clouds = _pictures(self._held_out, rows, _JUDGED_POINTS * 2, np.random.default_rng(0))
        drawn = DIFFUSION.from_model(self._draw(self._eyes.embed(images), _JUDGED_POINTS * 2))
        sides = [_seen(part, azimuth) for part in (clouds, drawn) for azimuth in (0.0, 90.0)]
        return picture_grid([images, *sides], columns=12)


def closeness(guess_N3: Float32, truth_N3: Float32) -> tuple[float, float]:
    """Chamfer distance (mean of both directions' mean distances) and F-score at ``NEAR`` of two clouds."""
    there, back = cKDTree(truth_N3).query(guess_N3)[0], cKDTree(guess_N3).query(truth_N3)[0]
    precision, recall = float((there < NEAR).mean()), float((back < NEAR).mean())
    return float(there.mean() + back.mean()) / 2, 2 * precision * recall / max(precision + recall, 1e-9)


def _pictures(data: PointSet, rows_B: Int64, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, 64, 64) in [0, 1] and clouds (B, 6, N) of ``count`` of their points."""
    xyz, rgb = data.seen_points(rows_B)
    chosen = rng.permutation(xyz.shape[1])[:count]
    cloud = np.concatenate([xyz[:, chosen], rgb[:, chosen]], axis=-1)
    return (
        torch.from_numpy(data.rgba_NSSC[rows_B][..., :3]).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(cloud).transpose(1, 2).contiguous(),
    )


def _mirror(rng: np.random.Generator, images_B3HW: Tensor, clouds_BCN: Tensor) -> None:
    """Left and right exchanged in half of the rows, in place."""
    chosen = torch.from_numpy(rng.random(len(images_B3HW)) < 0.5)
    images_B3HW[chosen] = images_B3HW[chosen].flip(-1)
    clouds_BCN[chosen, 0] = -clouds_BCN[chosen, 0]


def _recolour(rng: np.random.Generator, images_B3HW: Tensor, clouds_BCN: Tensor) -> None:
    """Red, green and blue exchanged in some rows, alike in picture and points, in place."""
    for row in np.flatnonzero(rng.random(len(images_B3HW)) < _RECOLOURED_SHARE):
        order = torch.from_numpy(rng.permutation(3))
        images_B3HW[row] = images_B3HW[row, order]
        clouds_BCN[row, 3:] = clouds_BCN[row, 3 + order]


def _seen(clouds_BCN: Tensor, azimuth: float) -> Tensor:
    """(B, 3, 64, 64) pictures of clouds."""
    c2w_44 = orbit_c2w(azimuth, 15.0)[0]
    clouds = [ColoredPoints(xyz_N3=cloud[:3].T.numpy(), rgb_N3=cloud[3:].T.numpy()) for cloud in clouds_BCN]
    views = [splat(cloud, c2w_44, size=64).rgb_HWC for cloud in clouds]
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
