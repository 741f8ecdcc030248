"""Fields of latents: rendered as the prior takes them, pulled by it and by the photo, and painted at the end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ConfigError
from lift3d_ray.field.render import render_view
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance.sds import chained_loss
from lift3d_ray.optimize import Fitted, Scene, fit, prepare_scene
from lift3d_ray.optimize.latent import photo_loss, render_latents
from lift3d_ray.optimize.latent_photo import LatentPhoto, latent_photo
from lift3d_ray.optimize.novel import EMPTINESS_STEP, regularize
from lift3d_ray.optimize.painting import painted
from lift3d_ray.optimize.palette import flat_palette
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.optimize.state import FitState, initial_state, restored
from lift3d_ray.recipes import Conditioning, GuidanceTerm, Quality, Recipe, ShadingConfig, make_it_3d
from lift3d_ray.toybox import ToyObject, render
from lift3d_ray.types import NoisePrediction, NoiseQuery, ReferencePose
from tests.fields import against_finite_differences
from tests.scenes import SCHEDULE, SIZE, toy_perception

AZIMUTH, ELEVATION = 20.0, 20.0
CELL_PX = 4


class CellCodec:
    """A codec whose latents are cells of pixels: five channels of their mean colour, mixed, and none of them white."""

    image_size = SIZE
    device = torch.device("cpu")
    mix = torch.tensor(
        [[1.5, 0.2, -0.3], [-0.4, 1.1, 0.5], [0.3, -0.6, 1.3], [0.7, 0.7, -0.2], [-0.5, 0.1, 0.9]], dtype=torch.float32
    )

    def encode(self, images_B3HW: Tensor) -> Tensor:
        """(B, 5, H / 4, W / 4)."""
        cells = torch.nn.functional.avg_pool2d(images_B3HW * 2 - 1, CELL_PX)
        return torch.einsum("ck,bkhw->bchw", self.mix.to(cells), cells)

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """The mean colours, without what was in the cells."""
        back = torch.linalg.pinv(self.mix).to(latents_BCHW)
        cells = torch.einsum("kc,bchw->bkhw", back, latents_BCHW)
        return torch.nn.functional.interpolate(((cells + 1) / 2).clamp(0, 1), scale_factor=CELL_PX)


class LatentToyPrior:
    """A prior that has seen the toy from everywhere, in latents."""

    def __init__(self, toy: ToyObject) -> None:
        self._toy = toy
        self.asked: list[NoiseQuery] = []

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that leads from the true view's latents to the query."""
        self.asked.append(query)
        assert query.view is not None
        cameras = orbit_c2w(AZIMUTH + query.view.azimuth_deg_B, query.view.elevation_deg_B)
        pictures = torch.from_numpy(render(self._toy, cameras, size=SIZE).rgb.transpose(0, 3, 1, 2).copy())
        clean = CellCodec().encode(pictures.float()).numpy()
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * clean) / np.maximum(sigma, 1e-3)
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32), batch_size=len(cameras))


def _recipe(steps: int = 60) -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    latent = replace(draft.optimize, steps=steps, resolutions=(24, 32), view_px=SIZE, warmup_steps=3, latent_field=True)
    return replace(draft, optimize=latent)


@pytest.fixture(scope="module")
def scene() -> tuple[ToyObject, Scene]:
    toy, perception, framing = toy_perception("house", azimuth_deg=AZIMUTH, elevation_deg=ELEVATION)
    pose = ReferencePose(elevation_deg=ELEVATION, framing=framing)
    reference = view_reference(perception.subject, CellCodec(), None)  # type: ignore[arg-type]
    prepared = prepare_scene(perception, pose, reference)
    photo = latent_photo(reference, prepared.c2w_44, framing, CellCodec())  # type: ignore[arg-type]
    return toy, replace(prepared, latent=photo)


def _photo(scene: Scene) -> LatentPhoto:
    assert scene.latent is not None
    return scene.latent


def _start(scene: Scene, recipe: Recipe, seed: int = 0) -> FitState:
    return initial_state(scene, recipe.optimize, generator=torch.Generator().manual_seed(seed))


def _fit(
    scene: Scene,
    recipe: Recipe,
    prior: object,
    state: FitState,
    checkpoint: Callable[[FitState], None] | None = None,
) -> Fitted:
    return fit(
        scene,
        state,
        recipe,
        prior,  # type: ignore[arg-type]
        CellCodec(),  # type: ignore[arg-type]
        SCHEDULE,
        report=lambda progress: None,
        checkpoint=checkpoint,
    )


def _paint(scene: Scene, recipe: Recipe, state: FitState) -> VoxelField:
    return painted(scene, _photo(scene), state, recipe, CellCodec())  # type: ignore[arg-type]


def _novel_error(toy: ToyObject, field: VoxelField, sharpness: float) -> float:
    turns = np.array([90.0, 180.0, 270.0])
    truth = render(toy, orbit_c2w(AZIMUTH + turns, 20.0), size=SIZE).rgb
    seen = [render_view(field, c2w, SIZE, sharpness=sharpness, n_samples=48) for c2w in orbit_c2w(turns, 20.0)]
    return float(np.mean([np.abs(p.rgb_HW3.numpy() - t).mean() for p, t in zip(seen, truth, strict=True)]))


def test_the_field_takes_its_channels_and_its_background_from_the_codec(scene: tuple[ToyObject, Scene]) -> None:
    prepared, recipe = scene[1], _recipe()
    photo, state = _photo(prepared), _start(prepared, recipe)
    assert state.field.values_V4.shape[1] == 1 + 5
    _, latents = render_latents(photo, state, recipe, np.zeros(2, np.float32), np.full(2, 20, np.float32), 0.0)
    assert latents.shape == (2, 5, SIZE // CELL_PX, SIZE // CELL_PX)
    white = CellCodec().encode(torch.ones(1, 3, SIZE, SIZE))[0]
    assert bool((white - 1).abs().amax() > 0.05)
    torch.testing.assert_close(latents[:, :, 0, 0], white[:, 0, 0].expand(2, -1))


def test_the_first_guess_already_resembles_the_photo(scene: tuple[ToyObject, Scene]) -> None:
    prepared, recipe = scene[1], _recipe()
    state = _start(prepared, recipe)
    blank = _photo(prepared).white_CHW - _photo(prepared).photo_CHW
    assert photo_loss(_photo(prepared), state, recipe, 1.0).item() < 0.5 * float(blank.abs().mean())


def test_a_palette_translates_there_and_back() -> None:
    colors = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    palette = flat_palette(CellCodec())  # type: ignore[arg-type]
    latents = palette.latents_of(colors)
    np.testing.assert_allclose(latents, (colors * 2 - 1) @ CellCodec.mix.numpy().T, atol=1e-5)
    np.testing.assert_allclose(palette.colors_of(latents), colors, atol=1e-4)


def test_a_knowing_prior_makes_the_painted_back_true(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    recipe, prior = _recipe(), LatentToyPrior(toy)
    guided, alone = _start(prepared, recipe), _start(prepared, recipe)
    fitted = _fit(prepared, recipe, prior, guided)
    assert "sds_chained" in fitted.losses
    assert prior.asked[0].noisy_latents_BCHW.shape == (4, 5, 8, 8)
    field = _paint(prepared, recipe, guided)
    assert torch.equal(field.values_V4[:, 0], fitted.field.values_V4[:, 0])
    unguided = replace(recipe, guidance=())
    _fit(prepared, unguided, None, alone)
    without = _novel_error(toy, _paint(prepared, unguided, alone), fitted.sharpness)
    assert _novel_error(toy, field, fitted.sharpness) < 0.9 * without


def test_a_fit_goes_on_from_its_stored_state_to_the_same_colours(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    recipe, prior = _recipe(8), LatentToyPrior(toy)
    whole, stored = _start(prepared, recipe), {}

    def keep(state: FitState) -> None:
        if state.step in (5, 8):
            stored[state.step] = copy.deepcopy(state.state_dict())

    _fit(prepared, recipe, prior, whole, keep)
    wanted = _paint(prepared, recipe, whole).values_V4
    for step in (5, 8):
        again = restored(stored[step], recipe.optimize)
        assert again.field.latent
        _fit(prepared, recipe, prior, again)
        torch.testing.assert_close(_paint(prepared, recipe, again).values_V4, wanted)
    other = _start(prepared, recipe, seed=1)
    _fit(prepared, recipe, prior, other)
    assert not torch.equal(other.field.values_V4, whole.field.values_V4)


def _double(scene: Scene, state: FitState) -> tuple[LatentPhoto, FitState]:
    """The same in float64, samples in the middle of their steps, for finite differences."""
    photo = _photo(scene)
    tensors = ("photo_CHW", "white_CHW", "origins_P3", "directions_P3")
    field = VoxelField(state.field.values_V4.detach().double(), latent=True)
    return replace(photo, **{name: getattr(photo, name).double() for name in tensors}), replace(state, field=field)


@pytest.mark.parametrize("name", ["chained", "color", "emptiness"])
def test_every_loss_moves_density_and_latents_by_its_finite_difference(
    scene: tuple[ToyObject, Scene], name: str
) -> None:
    recipe = _recipe()
    recipe = replace(
        recipe,
        optimize=replace(recipe.optimize, resolutions=(12,)),
        losses=replace(recipe.losses, entropy=0.0, emptiness=0.5),
    )
    photo, state = _double(scene[1], _start(scene[1], recipe))
    azimuth, elevation = np.array([40, 200], np.float32), np.array([10, 30], np.float32)
    wanted = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def loss(field: VoxelField) -> Tensor:
        # The same samples at every call.
        now = replace(state, field=field, generator=torch.Generator().manual_seed(0))
        if name == "color":
            return photo_loss(photo, now, recipe, 0.0)
        rendered, latents = render_latents(photo, now, recipe, azimuth, elevation, 0.0)
        if name == "chained":
            return chained_loss(latents, wanted, torch.tensor([0.5, 2.0], dtype=torch.float64))
        return regularize(rendered, recipe, 0.0)["emptiness"]

    gradient = against_finite_differences(loss, state.field, rows=2)
    assert float(gradient[:, 0].abs().max()) > 1e-5
    assert bool(gradient[:, 1:].abs().amax(0).min() > 1e-5) is (name != "emptiness")


def test_emptiness_steps_up_half_way_and_is_off_unless_set(scene: tuple[ToyObject, Scene]) -> None:
    recipe = _recipe()
    rendered, _ = render_latents(
        _photo(scene[1]), _start(scene[1], recipe), recipe, np.zeros(1, np.float32), np.zeros(1, np.float32), 0.0
    )
    assert "emptiness" not in regularize(rendered, recipe, 0.9)
    asked = replace(recipe, losses=replace(recipe.losses, emptiness=0.1))
    before, after = (regularize(rendered, asked, done)["emptiness"].item() for done in (0.49, 0.5))
    assert after == pytest.approx(EMPTINESS_STEP * before)
    assert before > 0


def test_emptiness_thins_fields_of_colours_too(scene: tuple[ToyObject, Scene]) -> None:
    plain = replace(_recipe(12), guidance=())
    plain = replace(plain, optimize=replace(plain.optimize, latent_field=False, warmup_steps=0))
    asking = replace(plain, losses=replace(plain.losses, emptiness=1.0))
    colored = replace(scene[1], latent=None)
    few, many = (_fit(colored, r, None, _start(colored, r)).field.values_V4.detach() for r in (asking, plain))
    assert float(few[:, 0].mean()) < float(many[:, 0].mean())


def test_depth_is_told_as_of_fields_of_colours(scene: tuple[ToyObject, Scene]) -> None:
    recipe = _recipe(1)
    terms = (
        GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0),
        GuidanceTerm(conditioning=Conditioning.DEPTH, scale=1.0),
    )
    asked: list[NoiseQuery] = []

    class Noting:
        def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
            asked.append(query)
            return NoisePrediction(noise_BCHW=np.zeros_like(query.noisy_latents_BCHW))

    recipe = replace(recipe, guidance=terms, optimize=replace(recipe.optimize, warmup_steps=0))
    _fit(scene[1], recipe, Noting(), _start(scene[1], recipe))
    disparity = asked[1].disparity_B1HW
    assert disparity is not None
    assert disparity.shape == (4, 1, SIZE, SIZE)
    assert disparity.max() == pytest.approx(1)


def test_what_looks_at_pictures_is_refused_beside_latents(scene: tuple[ToyObject, Scene]) -> None:
    recipe = _recipe()
    for changed in (
        {"optimize": replace(recipe.optimize, drawn_views=4)},
        {"optimize": replace(recipe.optimize, shading=ShadingConfig(after=0.5))},
        {"losses": replace(recipe.losses, clip_image=0.1)},
        {"losses": replace(recipe.losses, orientation=0.1)},
    ):
        with pytest.raises(ConfigError, match="no pictures to look at while it is fitted: turn off"):
            replace(recipe, **changed)
    with pytest.raises(ConfigError, match="latent_field is True and the scene was prepared otherwise"):
        _start(replace(scene[1], latent=None), recipe)
    with pytest.raises(ConfigError, match=r"\(R\*\*3, 1 \+ C\)"):
        VoxelField(torch.zeros(27, 1), latent=True)
