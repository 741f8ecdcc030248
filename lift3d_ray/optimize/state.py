"""Everything that changes while a field is optimised, as one value that can be stored and gone on from.

Shape suffixes as in ``field``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.field.blob import blob_field
from lift3d_ray.field.init import InitialField, guessed_field, initial_field
from lift3d_ray.field.occupancy import Occupancy, occupancy_from_field
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.optimize.latent_photo import latent_start
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.recipes import OptimizeConfig

HULL_CELLS = 64


def occupancy_cells(resolution: int) -> int:
    """Cells of the occupancy along an axis for a grid of this resolution: finer grids repay finer skipping."""
    return 32 if resolution < 64 else HULL_CELLS


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Views that the prior drew once.

    Attributes:
        azimuth_V, elevation_V: (V,) float32 degrees, azimuth relative to the photo.
        pictures_V3SS: (V, 3, S, S) float32 over white, on the CPU.
    """

    azimuth_V: torch.Tensor
    elevation_V: torch.Tensor
    pictures_V3SS: torch.Tensor


@dataclass(kw_only=True)
class FitState:
    """A field on its way.

    Attributes:
        field: the field.
        optimizer: Adam over its values.
        occupancy: where it may hold matter now.
        hull: where it may ever hold matter.
        generator: every random number of the scene comes from here.
        step: steps done.
        prior_s: seconds waited for the prior.
        prior_batch_sum, prior_calls: for the mean number of latents that shared a pass.
        drawn: the views to fit, in recipes that draw them once.
    """

    field: VoxelField
    optimizer: torch.optim.Adam
    occupancy: Occupancy
    hull: Occupancy
    generator: torch.Generator
    step: int = 0
    prior_s: float = 0.0
    prior_batch_sum: int = 0
    prior_calls: int = 0
    drawn: Drawn | None = None

    def count_prior(self, seconds: float, batch: int) -> None:
        """Note one question to the prior."""
        self.prior_s += seconds
        self.prior_batch_sum += batch
        self.prior_calls += 1

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers only; ``restored`` takes them back."""
        return {
            "values": self.field.values_V4.detach().cpu(),
            "optimizer": self.optimizer.state_dict(),
            "hull": self.hull.cells_GGG.cpu(),
            "occupancy": self.occupancy.cells_GGG.cpu(),
            "sigma_floor": None if self.occupancy.sigma_floor_GGG is None else self.occupancy.sigma_floor_GGG.cpu(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "prior": [self.prior_s, self.prior_batch_sum, self.prior_calls],
            "drawn": None if self.drawn is None else vars(self.drawn),
        }


def initial_state(
    scene: Scene, config: OptimizeConfig, *, generator: torch.Generator, device: torch.device | str = "cpu"
) -> FitState:
    """The first guess of the field.

    Raises:
        ConfigError: the recipe's field holds latents, and the scene does not know the photo in latents.
    """
    if config.latent_field != (scene.latent is not None):
        raise ConfigError(
            f"latent_field is {config.latent_field} and the scene was prepared otherwise: "
            "set its 'latent' (latent_photo) for recipes whose field holds latents, and for no other"
        )
    guess = first_guess(scene, config)
    field = (
        VoxelField.from_volumes(guess.raw_density_RRR, guess.raw_rgb_RRR3, device=device)
        if scene.latent is None
        else latent_start(guess, scene.latent.palette, device=device)
    )
    hull = Occupancy.from_numpy(guess.hull_GGG, device=device)
    return FitState(
        field=field,
        optimizer=new_optimizer(field, config),
        occupancy=hull,
        hull=hull,
        generator=generator,
    )


def restored(saved: dict[str, Any], config: OptimizeConfig, *, device: torch.device | str = "cpu") -> FitState:
    """The state that ``FitState.state_dict`` stored."""
    field = VoxelField(saved["values"].to(device), latent=config.latent_field)
    optimizer = new_optimizer(field, config)
    optimizer.load_state_dict(saved["optimizer"])
    generator = torch.Generator().manual_seed(0)
    generator.set_state(saved["generator"])
    floor = saved["sigma_floor"]
    prior_s, batch_sum, calls = saved["prior"]
    return FitState(
        field=field,
        optimizer=optimizer,
        occupancy=Occupancy(
            cells_GGG=saved["occupancy"].to(device), sigma_floor_GGG=None if floor is None else floor.to(device)
        ),
        hull=Occupancy(cells_GGG=saved["hull"].to(device)),
        generator=generator,
        step=saved["step"],
        prior_s=prior_s,
        prior_batch_sum=batch_sum,
        prior_calls=calls,
        drawn=None if saved["drawn"] is None else Drawn(**saved["drawn"]),
    )


def new_optimizer(field: VoxelField, config: OptimizeConfig) -> torch.optim.Adam:
    """Adam as grids want it: a short second moment, so that cells seen for the first time move at once."""
    return torch.optim.Adam([field.values_V4], lr=config.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def refine_grid(state: FitState, resolution: int, config: OptimizeConfig) -> None:
    """Go on with a finer grid: same values, fresh moments."""
    state.field = state.field.upsampled(resolution)
    state.optimizer = new_optimizer(state.field, config)


def refresh_occupancy(state: FitState, sharpness: float) -> None:
    """Find the cells that may hold matter again."""
    cells = occupancy_cells(state.field.resolution)
    state.occupancy = occupancy_from_field(
        state.field, sharpness, resolution=cells, threshold=0.02, dilate=1, hull=_coarser(state.hull, cells)
    )


def _coarser(hull: Occupancy, cells: int) -> Occupancy:
    """The hull with fewer cells: one is kept where any part of it was."""
    factor = hull.resolution // cells
    if factor == 1:
        return hull
    pooled = torch.nn.functional.max_pool3d(hull.cells_GGG[None, None].float(), factor)
    return Occupancy(cells_GGG=pooled[0, 0] > 0)


def first_guess(scene: Scene, config: OptimizeConfig) -> InitialField:
    """The guessed cloud where it was asked for, else the guessed solid, else the inflated silhouette; or a blob."""
    subject, resolution = scene.perception.subject, config.resolutions[0]
    if not scene.perception.pictured:
        return blob_field(resolution=resolution, hull_resolution=HULL_CELLS)
    guess = scene.coarse if scene.points is None else scene.points
    if guess is not None:
        return guessed_field(
            guess,
            subject.alpha_HW,
            subject.rgb_HWC,
            scene.c2w_44,
            scene.pose.framing,
            resolution=resolution,
            hull_resolution=HULL_CELLS,
        )
    return initial_field(
        subject.alpha_HW,
        scene.perception.disparity_HW,
        subject.rgb_HWC,
        scene.c2w_44,
        scene.pose.framing,
        resolution=resolution,
        depth_trust=config.depth_trust,
        hull_resolution=HULL_CELLS,
    )
