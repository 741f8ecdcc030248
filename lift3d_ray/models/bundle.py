"""Bundles: which weights play which role.

A bundle is a folder with a ``bundle.json`` that names, for every role, an official model folder inside it. The
embedded one is called ``toybox`` and lies inside this package; any other is named by its path.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lift3d_ray.devices import check_device
from lift3d_ray.errors import BundleError
from lift3d_ray.models.files import read_config, takes_depth
from lift3d_ray.models.roles import Captioner, DepthEstimator, ImageTextEncoder, Models, NoisePredictor, Segmenter
from lift3d_ray.models.schedule import NoiseSchedule, load_schedule

if TYPE_CHECKING:
    import torch

    from lift3d_ray.models.clip import ClipEncoder
    from lift3d_ray.models.coarse import CoarseEstimator
    from lift3d_ray.models.image_encoder import ImageEncoder
    from lift3d_ray.models.latents import LatentCodec
    from lift3d_ray.models.point_e.sampler import PointESampler
    from lift3d_ray.models.pose import PoseRegressor
    from lift3d_ray.models.tuning import Tuning

EMBEDDED = "toybox"
BUNDLES_FOLDER = Path(__file__).resolve().parent.parent / "bundles"

REQUIRED_ROLES = (
    "segmenter",
    "captioner",
    "depth",
    "clip",
    "vae",
    "unet",
    "text_encoder",
    "tokenizer",
    "scheduler",
)
OPTIONAL_ROLES = (
    "view_unet",
    "image_encoder",
    "controlnet",
    "pose",
    "coarse",
    "point_cloud",
    "point_upsampler",
    "point_clip",
)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A named set of model folders.

    Attributes:
        name: for people.
        folder: where it lies.
        image_size: side of the prior's pictures, pixels.
        latent_pack: latent cells folded into channels before the prior (1 for Stable Diffusion).
        roles: folder of every role it fills.
    """

    name: str
    folder: Path
    image_size: int
    latent_pack: int
    roles: tuple[tuple[str, Path], ...]

    def path(self, role: str) -> Path:
        """Folder of a role.

        Raises:
            BundleError: the bundle has no such role.
        """
        folder = self.optional_path(role)
        if folder is None:
            raise BundleError(f"bundle {self.name!r} has no {role}: it fills {[r for r, _ in self.roles]}")
        return folder

    def optional_path(self, role: str) -> Path | None:
        """Folder of a role, or None."""
        return dict(self.roles).get(role)

    @property
    def has_view_prior(self) -> bool:
        """Whether a reference picture can condition the prior."""
        return self.optional_path("view_unet") is not None

    @property
    def takes_depth(self) -> bool:
        """Whether the text prior must be told depth: it has channels for it beside the latents'."""
        return takes_depth(self.path("unet"))

    @property
    def has_depth_prior(self) -> bool:
        """Whether depth can condition the prior."""
        return self.optional_path("controlnet") is not None or self.takes_depth

    @property
    def has_point_cloud(self) -> bool:
        """Whether the subject's surface can be guessed as points."""
        return self.optional_path("point_cloud") is not None

    @property
    def digest(self) -> str:
        """Hex digest, 16 characters, of every file of the bundle: the same weights, the same digest.

        What was pulled is taken at the word of ``pulled.json``: those are gigabytes, and were digested when they came.
        """
        from lift3d_ray.models.reference import recorded_digests

        if all(where.is_relative_to(normpath(self.folder)) for _, where in self.roles):
            return _digest(self.folder)
        facts: list[object] = [self.image_size, self.latent_pack]
        facts += [[role, recorded_digests(where) or _digest(where)] for role, where in self.roles]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def load_bundle(name_or_path: str | Path = EMBEDDED) -> Bundle:
    """Open a bundle.

    Args:
        name_or_path: ``toybox``; a published bundle that was pulled, such as ``sd15``; one with other models in some
            roles (``reference``); or the path of a folder with a ``bundle.json``.

    Raises:
        BundleError: no such bundle, its ``bundle.json`` is not complete, or what was pulled is not whole.
    """
    from lift3d_ray.models.reference import check_whole

    folder, facts = _described(str(name_or_path))
    try:
        roles = {str(role): Path(normpath(folder / str(where))) for role, where in facts["roles"].items()}
        bundle = Bundle(
            name=str(facts["name"]),
            folder=folder,
            image_size=int(facts["image_size"]),
            latent_pack=int(facts["latent_pack"]),
            roles=tuple(sorted(roles.items())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{folder / 'bundle.json'} lacks or garbles {error}: see docs on bundles") from error
    _check_roles(bundle, roles)
    check_whole(roles.values())
    return bundle


def _described(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """A bundle's folder and what its ``bundle.json`` says, or would say."""
    from lift3d_ray.models.catalog import bundle_specs
    from lift3d_ray.models.reference import published_facts

    for folder in (BUNDLES_FOLDER / name_or_path, Path(name_or_path)):
        if (folder / "bundle.json").exists():
            return folder, read_config(folder, "bundle.json")
    described = published_facts(name_or_path, _described)
    if described is not None:
        return described
    known = sorted(p.parent.name for p in BUNDLES_FOLDER.glob("*/bundle.json"))
    raise BundleError(
        f"{name_or_path!r} is neither an embedded bundle ({', '.join(known)}) nor a folder with a bundle.json, "
        f"and not published either ({', '.join(bundle_specs())}): check the name or the path"
    )


def _check_roles(bundle: Bundle, roles: dict[str, Path]) -> None:
    missing = [role for role in REQUIRED_ROLES if role not in roles]
    unknown = [role for role in roles if role not in REQUIRED_ROLES + OPTIONAL_ROLES]
    absent = [str(where) for where in roles.values() if not where.is_dir()]
    if missing or unknown or absent:
        raise BundleError(
            f"bundle {bundle.name!r} in {bundle.folder}: roles missing {missing}, unknown {unknown}, "
            f"folders that do not exist {absent}"
        )


@lru_cache(maxsize=32)
def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix in {".json", ".txt", ".safetensors", ".pth", ".pt", ".bin"} and path.name != "training.json":
            total.update(json.dumps([path.relative_to(folder).as_posix(), path.stat().st_size]).encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
    return total.hexdigest()[:16]


def load_segmenter(bundle: Bundle, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Segmenter:
    """The bundle's segmenter."""
    from lift3d_ray.models import segmenter

    return segmenter.load_segmenter(bundle.path("segmenter"), device=device, dtype=_float32(dtype))


def load_captioner(bundle: Bundle, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Captioner:
    """The bundle's captioner."""
    from lift3d_ray.models import captioner

    return captioner.load_captioner(bundle.path("captioner"), device=device, dtype=_float32(dtype))


def load_depth(bundle: Bundle, *, device: str = "cpu", dtype: torch.dtype | None = None) -> DepthEstimator:
    """The bundle's depth estimator."""
    from lift3d_ray.models import depth

    return depth.load_depth(bundle.path("depth"), device=device, dtype=_float32(dtype))


def load_clip(bundle: Bundle, *, device: str = "cpu", dtype: torch.dtype | None = None) -> ImageTextEncoder:
    """The bundle's picture and sentence encoder."""
    from lift3d_ray.models import clip

    return clip.load_clip(bundle.path("clip"), device=device, dtype=_float32(dtype))


def load_prior(
    bundle: Bundle, *, device: str = "cpu", dtype: torch.dtype | None = None, tuning: Tuning | None = None
) -> NoisePredictor:
    """The bundle's noise predictor, with every conditioning it has weights for; plain unless ``tuning`` says more."""
    from lift3d_ray.models import diffusion
    from lift3d_ray.models.tuning import PLAIN

    return diffusion.load_prior(
        unet=bundle.path("unet"),
        text_encoder=bundle.path("text_encoder"),
        tokenizer=bundle.path("tokenizer"),
        scheduler=bundle.path("scheduler"),
        view_unet=bundle.optional_path("view_unet"),
        controlnet=bundle.optional_path("controlnet"),
        device=device,
        dtype=_float32(dtype),
        tuning=tuning or PLAIN,
    )


def load_codec(bundle: Bundle, *, device: str = "cpu") -> LatentCodec:
    """The autoencoder that a scene keeps for its gradients."""
    from lift3d_ray.models import latents

    return latents.load_codec(
        bundle.path("vae"), image_size=bundle.image_size, pack=bundle.latent_pack, device=device
    )


def load_scene_clip(bundle: Bundle, *, device: str = "cpu") -> ClipEncoder:
    """The encoder that a scene keeps for its gradients, its own weights frozen."""
    from lift3d_ray.models import clip

    encoder = clip.load_clip(bundle.path("clip"), device=device)
    encoder.model.requires_grad_(False)
    return encoder


def load_pose(bundle: Bundle) -> PoseRegressor | None:
    """The bundle's pose regressor, or None where it has none; small enough to live with the scene, on the CPU."""
    from lift3d_ray.models import pose

    folder = bundle.optional_path("pose")
    return None if folder is None else pose.load_pose(folder)


def load_coarse(bundle: Bundle) -> CoarseEstimator | None:
    """The bundle's coarse shape model, or None where it has none; it lives with the scene, on the CPU."""
    from lift3d_ray.models import coarse

    folder = bundle.optional_path("coarse")
    return None if folder is None else coarse.load_coarse(folder)


def load_point_cloud(bundle: Bundle, *, device: str = "cpu") -> PointESampler | None:
    """The bundle's point cloud networks, or None where it has none; asked once a scene."""
    from lift3d_ray.models.point_e import loading

    folder = bundle.optional_path("point_cloud")
    if folder is None:
        return None
    clip = bundle.optional_path("point_clip") or bundle.optional_path("image_encoder") or bundle.path("clip")
    upsampler = bundle.optional_path("point_upsampler")
    return loading.load_point_cloud(folder, clip=clip, upsampler=upsampler, device=device)


def load_image_encoder(bundle: Bundle, *, device: str = "cpu") -> ImageEncoder | None:
    """What the bundle's view-conditioned prior sees its reference by, or None; asked once a scene."""
    from lift3d_ray.models import image_encoder

    folder = bundle.optional_path("image_encoder")
    return None if folder is None else image_encoder.load_image_encoder(folder, device=device)


def load_noise_schedule(bundle: Bundle) -> NoiseSchedule:
    """The schedule of the bundle's prior."""
    return load_schedule(bundle.path("scheduler"))


def load_models(
    bundle: Bundle, *, device: str = "cpu", dtype: torch.dtype | None = None, tuning: Tuning | None = None
) -> Models:
    """All shared models, in this process.

    Raises:
        ConfigError: there is no such device, or what ``tuning`` asks of the prior cannot be done here.
        BundleError: files missing, damaged or of another model.
    """
    check_device(device)
    return Models(
        segmenter=load_segmenter(bundle, device=device, dtype=dtype),
        captioner=load_captioner(bundle, device=device, dtype=dtype),
        depth=load_depth(bundle, device=device, dtype=dtype),
        clip=load_clip(bundle, device=device, dtype=dtype),
        prior=load_prior(bundle, device=device, dtype=dtype, tuning=tuning),
    )


def _float32(dtype: torch.dtype | None) -> torch.dtype:
    import torch

    return torch.float32 if dtype is None else dtype
