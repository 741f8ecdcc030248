"""The values that travel between stages, and across the seam to the shared models.

Everything here is plain data: numpy arrays, numbers and strings, frozen and keyword-only. No tensor, graph, device,
file handle or model ever appears, so any value can be sent to another process, stored, or replayed.

Images at doors are HWC uint8 sRGB; masks are HW bool; boxes are XYXY pixels, half-open. World frame: see ``cameras``.
Shape suffixes: B queries of a batch, V views, N points, H W pixels, C channels.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.cameras import CANONICAL, Framing

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded picture, turned upright, in sRGB.

    Attributes:
        rgb_HWC: (H, W, 3) uint8.
        alpha_HW: (H, W) float32 in [0, 1] when the file carried a cut-out, else None.
        digest: hex SHA-256 of the *file's bytes*: the picture's identity in ledgers and resume keys.
        name: where it came from, for people (file name or URI).
        drawn: it was drawn from words, which are its name; its digest is theirs.
    """

    rgb_HWC: UInt8
    alpha_HW: Float32 | None
    digest: str
    name: str
    drawn: bool = False


@dataclass(frozen=True, kw_only=True)
class SegmentQuery:
    """What to cut out of a picture.

    Without points and box the segmenter proposes the main subject by itself.

    Attributes:
        rgb_HWC: (H, W, 3) uint8 picture.
        points_xy_px: clicks in pixels, x right, y down.
        labels: one a click, True = on the subject, False = not on it.
        box_xyxy_px: a box around the subject, or None.
    """

    rgb_HWC: UInt8
    points_xy_px: tuple[tuple[float, float], ...] = ()
    labels: tuple[bool, ...] = ()
    box_xyxy_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class MaskProposal:
    """One cut-out proposed by a segmenter.

    Attributes:
        mask_HW: (H, W) bool, at the picture's own size.
        score: the segmenter's own estimate of its IoU, in [0, 1].
    """

    mask_HW: Bool
    score: float


@dataclass(frozen=True, kw_only=True)
class CropMap:
    """The square crop taken from a photo, and the way back.

    Photo pixel = origin + crop pixel * (side_px / size_px).

    Attributes:
        x0_px: left edge of the crop in photo pixels (may be negative: the crop may reach outside).
        y0_px: top edge.
        side_px: side of the crop in photo pixels.
        size_px: side of the crop picture it was resampled to.
    """

    x0_px: float
    y0_px: float
    side_px: float
    size_px: int


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The subject cut out of a photo, in a square picture of its own.

    Attributes:
        rgb_HWC: (S, S, 3) uint8, the photo's own pixels (background included, edge colours where outside).
        alpha_HW: (S, S) float32 in [0, 1], soft at the rim.
        crop: where the square lies in the photo.
        score: the segmenter's confidence, 1.0 where the photo brought its own alpha.
    """

    rgb_HWC: UInt8
    alpha_HW: Float32
    crop: CropMap
    score: float

    def over(self, background: float | tuple[float, float, float]) -> UInt8:
        """The subject over one flat colour in [0, 1], (S, S, 3) uint8."""
        colour = np.broadcast_to(np.asarray(background, dtype=np.float32), (3,))
        alpha = self.alpha_HW[..., None]
        rgb = self.rgb_HWC.astype(np.float32) / 255.0 * alpha + colour * (1 - alpha)
        return np.asarray(np.round(np.clip(rgb, 0, 1) * 255), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class ViewConditioning:
    """Conditioning of a view-conditioned prior (Zero-1-to-3 style), one row a query.

    Attributes:
        reference_latents_BCHW: (B, C, h, w) float32 codec latents of the reference picture over white.
        azimuth_deg_B: (B,) azimuth of the asked view relative to the reference's, degrees.
        elevation_deg_B: (B,) *absolute* elevation of the asked view above the horizon, degrees. The reference's own
            elevation is not given: the prior infers it from the picture, which lets the pose stage ask for it.
        image_tokens_BTD: (B, T, D) float32 what the bundle's image encoder sees in the reference, or None.
    """

    reference_latents_BCHW: Float32
    azimuth_deg_B: Float32
    elevation_deg_B: Float32
    image_tokens_BTD: Float32 | None = None


@dataclass(frozen=True, kw_only=True)
class ViewReference:
    """A reference picture as a view-conditioned prior takes it; made once a scene.

    Attributes:
        latents_CHW: (C, h, w) float32 codec latents of the picture over white.
        image_tokens_TD: (T, D) float32, what the bundle's image encoder sees in it; None where there is no encoder.
    """

    latents_CHW: Float32
    image_tokens_TD: Float32 | None = None

    def towards(self, azimuth_deg_B: Float32, elevation_deg_B: Float32) -> ViewConditioning:
        """The question for B views: azimuths relative to the reference's, absolute elevations, degrees."""
        count, tokens = len(azimuth_deg_B), self.image_tokens_TD
        return ViewConditioning(
            reference_latents_BCHW=np.repeat(self.latents_CHW[None], count, axis=0),
            azimuth_deg_B=azimuth_deg_B,
            elevation_deg_B=elevation_deg_B,
            image_tokens_BTD=None if tokens is None else np.repeat(tokens[None], count, axis=0),
        )


LEARNED_WORD = re.compile(r"<learned-[0-9a-f]{16}>")
"""How a learned token stands in a prompt."""


@dataclass(frozen=True, kw_only=True)
class LearnedToken:
    """A word that no dictionary has: what was learnt about one subject, as the text encoder takes words in.

    It is named by its content. So a prompt that holds the name says all that the prompt says, embeddings may be
    remembered by the prompt's text, and tokens of different scenes never clash in a shared pass.

    Attributes:
        vectors_TD: (T, D) float32 input embeddings of the text encoder; they take T places in the prompt.
    """

    vectors_TD: Float32

    def __post_init__(self) -> None:
        vectors = self.vectors_TD
        if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype != np.float32 or not np.isfinite(vectors).all():
            raise ValueError(
                f"a learned token needs finite (T, D) float32 vectors, got {vectors.dtype} of shape {vectors.shape}"
            )

    @cached_property
    def word(self) -> str:
        """Its name in prompts."""
        content = repr(self.vectors_TD.shape).encode() + self.vectors_TD.tobytes()
        return f"<learned-{hashlib.sha256(content).hexdigest()[:16]}>"


@dataclass(frozen=True, kw_only=True)
class PromptBlend:
    """Second prompts, and how much of their embeddings is mixed into the first ones'.

    Attributes:
        prompts: B prompts.
        share_B: (B,) float32 in [0, 1]; 0 = the first prompt alone.
    """

    prompts: tuple[str, ...]
    share_B: Float32


@dataclass(frozen=True, kw_only=True)
class NoiseQuery:
    """A request for noise predictions. The caller owns all randomness; the same query has one answer.

    Attributes:
        noisy_latents_BCHW: (B, C, h, w) float32 latents at the stated timesteps.
        timesteps_B: (B,) int64 in [0, number of training timesteps).
        guidance_scale: classifier-free guidance s in ``u + s (c - u)``; 1 = conditional only, no second pass.
        prompts: B prompts, also the names under which the actor caches their embeddings.
        negative_prompts: B prompts for the unconditional branch; "" is the empty prompt.
        view: set to ask the view-conditioned prior, None to ask the text prior.
        disparity_B1HW: (B, 1, H, W) float32 in [0, 1], near = 1, empty = 0; set to steer the text prior by depth.
        learned: the learned tokens that prompts name, each once.
        blend: set to ask the text prior between two prompts a row, such as a front and a side view.
    """

    noisy_latents_BCHW: Float32
    timesteps_B: Int64
    guidance_scale: float
    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    view: ViewConditioning | None = None
    disparity_B1HW: Float32 | None = None
    learned: tuple[LearnedToken, ...] = ()
    blend: PromptBlend | None = None

    def __post_init__(self) -> None:
        if self.noisy_latents_BCHW.ndim != 4:
            raise ValueError(f"noisy_latents must be (B, C, h, w), got shape {self.noisy_latents_BCHW.shape}")
        batch = self.noisy_latents_BCHW.shape[0]
        lengths = {
            "timesteps": len(self.timesteps_B),
            "prompts": len(self.prompts),
            "negative_prompts": len(self.negative_prompts),
        }
        if self.view is not None:
            lengths["view.azimuth_deg"] = len(self.view.azimuth_deg_B)
            lengths["view.elevation_deg"] = len(self.view.elevation_deg_B)
            lengths["view.reference_latents"] = len(self.view.reference_latents_BCHW)
        if self.disparity_B1HW is not None:
            lengths["disparity"] = len(self.disparity_B1HW)
        if self.blend is not None:
            lengths["blend.prompts"] = len(self.blend.prompts)
            lengths["blend.share"] = len(self.blend.share_B)
        wrong = {name: length for name, length in lengths.items() if length != batch}
        if wrong:
            raise ValueError(f"every field of a NoiseQuery needs {batch} rows like noisy_latents, got {wrong}")


@dataclass(frozen=True, kw_only=True)
class NoisePrediction:
    """The answer to a ``NoiseQuery``.

    Attributes:
        noise_BCHW: (B, C, h, w) float32 guided prediction of the noise epsilon.
        batch_size: latents that shared the forward pass (this query's and other scenes').
        seconds: wall time of that pass.
    """

    noise_BCHW: Float32
    batch_size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DenoisingQuery:
    """Asks how well the text prior denoises known latents under prompts with learned tokens, and what would help.

    Attributes:
        latents_BCHW: (B, C, h, w) float32 clean latents.
        noise_BCHW: (B, C, h, w) float32 noise to be mixed in.
        timesteps_B: (B,) int64 in [0, number of training timesteps).
        prompts: B prompts.
        learned: the learned tokens that they name; each stands in at least one prompt.
    """

    latents_BCHW: Float32
    noise_BCHW: Float32
    timesteps_B: Int64
    prompts: tuple[str, ...]
    learned: tuple[LearnedToken, ...] = ()

    def __post_init__(self) -> None:
        if self.latents_BCHW.ndim != 4 or self.noise_BCHW.shape != self.latents_BCHW.shape:
            raise ValueError(
                "latents and noise must both be (B, C, h, w), "
                f"got {self.latents_BCHW.shape} and {self.noise_BCHW.shape}"
            )
        batch = len(self.latents_BCHW)
        if (len(self.timesteps_B), len(self.prompts)) != (batch, batch):
            raise ValueError(
                f"a DenoisingQuery needs {batch} timesteps and prompts, "
                f"got {len(self.timesteps_B)} and {len(self.prompts)}"
            )
        idle = [token.word for token in self.learned if not any(token.word in prompt for prompt in self.prompts)]
        if idle:
            raise ValueError(f"no prompt names {idle}: a token that is not said cannot be learnt")


@dataclass(frozen=True, kw_only=True)
class DenoisingGradient:
    """The answer to a ``DenoisingQuery``.

    Attributes:
        losses_B: (B,) float32 mean squared error of every row, in what the model was trained to predict.
        gradients_TD: of the *sum* of the losses with respect to the query's learned tokens, each in its own shape. Sums
            add up, so a batch gives every token what it would get alone.
    """

    losses_B: Float32
    gradients_TD: tuple[Float32, ...]


@dataclass(frozen=True, kw_only=True)
class CoarseShape:
    """What a picture says of the solid behind it, up to its size: depths are in units of the picture's own width.

    Attributes:
        filled_SSD: (S, S, D) float32 probability that the subject fills a slice of a cell's ray: rows, columns, slices
            nearest first. They share ``depth_reach`` half picture widths before and behind the subject's middle.
        back_rgb_SSC: (S, S, 3) float32 sRGB in [0, 1] of the farthest surface, in the picture's own cells.
        depth_reach: half the depth range over half the picture's width, measured where the world's origin is.
    """

    filled_SSD: Float32
    back_rgb_SSC: Float32
    depth_reach: float


@dataclass(frozen=True, kw_only=True)
class ColoredPoints:
    """What a picture says of the subject's surface: points, upright along +Y, in the unit ball.

    Attributes:
        xyz_N3: (N, 3) float32.
        rgb_N3: (N, 3) float32 sRGB in [0, 1].
        faces_photo: whether the picture was taken from azimuth 0, as in the lift's world; otherwise the points are
            turned about +Y by an unknown angle.
    """

    xyz_N3: Float32
    rgb_N3: Float32
    faces_photo: bool = True


@dataclass(frozen=True, kw_only=True)
class ReferencePose:
    """How the photo looks at its subject, in the asset's world.

    Attributes:
        elevation_deg: height of the photo's camera above the horizon.
        framing: zoom and shift of the subject crop against the canonical camera.
        confidence: how much better this pose explained the photo than the average candidate, in [0, 1]; 0 = assumed.
    """

    elevation_deg: float
    framing: Framing = CANONICAL
    confidence: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Perception:
    """All that the shared models said about one photo: the input of the per-scene optimiser.

    Attributes:
        subject: the cut-out.
        caption: what it is, in words; may end in a view phrase.
        disparity_HW: (S, S) float32 relative inverse depth inside the mask, [0, 1], near = 1, 0 outside.
        drawing_HWC: (H, W, 3) uint8 the photo, where it was drawn from words and is nowhere else; None otherwise.
    """

    subject: Subject
    caption: str
    disparity_HW: Float32
    drawing_HWC: UInt8 | None = None

    @cached_property
    def pictured(self) -> bool:
        """Whether there is a picture; a thing made from words alone has a subject without a single pixel."""
        return bool(self.subject.alpha_HW.any())


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A triangle mesh in the world frame, outward winding.

    Attributes:
        vertices_N3: (N, 3) float32.
        faces_F3: (F, 3) int32.
        normals_N3: (N, 3) float32 unit vertex normals.
        colors_N3: (N, 3) float32 sRGB in [0, 1].
    """

    vertices_N3: Float32
    faces_F3: NDArray[np.int32]
    normals_N3: Float32
    colors_N3: Float32


@dataclass(frozen=True, kw_only=True)
class TexturedMesh:
    """A triangle mesh in the world frame whose colours lie in a texture.

    Attributes:
        vertices_N3: (N, 3) float32; those on a seam of the texture come more than once.
        faces_F3: (F, 3) int32, wound outwards.
        normals_N3: (N, 3) float32 unit vertex normals.
        uv_N2: (N, 2) float32 in [0, 1], from the texture's top left corner, right and down.
        texture_SSC: (S, S, 3) uint8 sRGB.
    """

    vertices_N3: Float32
    faces_F3: NDArray[np.int32]
    normals_N3: Float32
    uv_N2: Float32
    texture_SSC: UInt8


@dataclass(frozen=True, kw_only=True)
class PointCloud:
    """Coloured, oriented surface points in the world frame.

    Attributes:
        xyz_N3: (N, 3) float32.
        rgb_N3: (N, 3) float32 sRGB in [0, 1].
        normals_N3: (N, 3) float32 unit vectors.
    """

    xyz_N3: Float32
    rgb_N3: Float32
    normals_N3: Float32


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of several lifts of a picture, as it was judged (``judge.judgement`` says what the figures are).

    Attributes:
        seed: the seed that made it.
        fit_db: PSNR from the photo's own camera, dB.
        likeness: of the views from the photo's side to the photo, cosine.
        words: of all views to the caption, cosine.
        janus: of the views from behind to the view from the front, cosine; less is better.
        score: what it is chosen by; more is better.
        kept: whether it is the one that was kept.
        error: why it came to nothing, "" where it did not.
    """

    seed: int
    fit_db: float = float("nan")
    likeness: float = float("nan")
    words: float = float("nan")
    janus: float = float("nan")
    score: float = float("nan")
    kept: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A lifted subject, ready to be written.

    Attributes:
        mesh: what the user gets.
        points: samples of its surface.
        turntable_VHWC: (V, H, 2W, 3) uint8 frames, colour beside normals.
        preview_HWC: (H, W', 3) uint8 contact sheet: the photo's crop and a few views.
        perception: what the models saw.
        pose: how the photo looks at the asset.
        seed: the seed that made it.
        metrics: figures about the result (reference PSNR, IoU, solidity, ...).
        losses: final value of every loss, by name.
        timings_s: wall seconds by stage.
        candidates: the lifts that this one is the best of, itself among them; empty where it was the only one.
        textured: the refined surface with its colours in a texture; None where there was no refinement.
        remarks: sentences about how it came about, for people.
    """

    mesh: Mesh
    points: PointCloud
    turntable_VHWC: UInt8
    preview_HWC: UInt8
    perception: Perception
    pose: ReferencePose
    seed: int
    metrics: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    textured: TexturedMesh | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One report of a running lift.

    Attributes:
        stage: name of the stage (``segment``, ``caption``, ``pose``, ``optimize``, ``mesh``, ``refine``, ``export``).
        step: steps done in this stage.
        steps: steps in all.
        loss: current total loss; NaN where there is none.
        prior_batch: mean number of latents that shared this scene's prior passes so far; 0 where there is none.
        prior_s: seconds spent waiting for the prior so far.
    """

    stage: str
    step: int
    steps: int
    loss: float = float("nan")
    prior_batch: float = 0.0
    prior_s: float = 0.0
