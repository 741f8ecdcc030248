"""One question to every model of a bundle, loaded as a lift loads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.models import bundle as bundles
from lift3d_ray.models.bundle import Bundle
from lift3d_ray.types import NoiseQuery, SegmentQuery, UInt8, ViewConditioning

SIDE_PX = 96
"""Side of the picture that is shown."""


def picture() -> UInt8:
    """A red disc on grey, (S, S, 3) uint8."""
    y_HW, x_HW = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    rgb_HWC = np.full((SIDE_PX, SIDE_PX, 3), 200, dtype=np.uint8)
    rgb_HWC[np.hypot(x_HW, y_HW) < SIDE_PX / 3] = (200, 40, 30)
    return rgb_HWC


def finite(values: Any, what: str) -> str:
    """The shape of an answer in words.

    Raises:
        BundleError: it holds something that is no number.
    """
    array = values.detach().float().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    wrong = int((~np.isfinite(array)).sum())
    if wrong:
        raise BundleError(f"{what} of shape {array.shape} holds {wrong} values that are none")
    return f"{what} {array.shape}"


def _segment(bundle: Bundle, device: str) -> str:
    edge = float(SIDE_PX // 8)
    box = (edge, edge, SIDE_PX - edge, SIDE_PX - edge)
    found = bundles.load_segmenter(bundle, device=device).segment(SegmentQuery(rgb_HWC=picture(), box_xyxy_px=box))
    return f"{len(found)} masks" + (f", the first of {int(found[0].mask_HW.sum())} pixels" if found else "")


def _caption(bundle: Bundle, device: str) -> str:
    return repr(bundles.load_captioner(bundle, device=device).caption(picture()))


def _depth(bundle: Bundle, device: str) -> str:
    return finite(bundles.load_depth(bundle, device=device).estimate_disparity(picture()), "disparity")


def _clip(bundle: Bundle, device: str) -> str:
    encoder = bundles.load_clip(bundle, device=device)
    image, words = encoder.encode_images(picture()[None]), encoder.encode_texts(["a red disc"])
    return f"{finite(image, 'vector')}, {float((image @ words.T)[0, 0]):.2f} like its words"


def _codec(bundle: Bundle, device: str) -> str:
    codec = bundles.load_codec(bundle, device=device)
    pictures = torch.full((1, 3, codec.image_size, codec.image_size), 0.5, device=device)
    with torch.no_grad():
        latents = codec.encode(pictures)
        finite(codec.decode(latents), "picture")
    return finite(latents, "latents")


def _prior(bundle: Bundle, device: str) -> str:
    """The text prior, and with what the bundle has for it: depth, and the view-conditioned one."""
    prior: Any = bundles.load_prior(bundle, device=device)
    shape = latent_shape(bundle)
    noisy = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    asked: dict[str, Any] = {
        "noisy_latents_BCHW": noisy,
        "timesteps_B": np.array([500], dtype=np.int64),
        "guidance_scale": 1.0,
        "prompts": ("a red disc",),
        "negative_prompts": ("",),
    }
    said = [] if bundle.takes_depth else [finite(prior.predict_noise(NoiseQuery(**asked)).noise_BCHW, "noise")]
    if bundle.has_depth_prior:
        near = np.ones((1, 1, bundle.image_size, bundle.image_size), dtype=np.float32)
        said.append(finite(prior.predict_noise(NoiseQuery(**asked, disparity_B1HW=near)).noise_BCHW, "with depth"))
    if bundle.has_view_prior:
        encoder = bundles.load_image_encoder(bundle, device=device)
        view = ViewConditioning(
            reference_latents_BCHW=noisy,
            azimuth_deg_B=np.array([30.0], dtype=np.float32),
            elevation_deg_B=np.array([10.0], dtype=np.float32),
            image_tokens_BTD=None if encoder is None else encoder.tokens(picture())[None],
        )
        said.append(finite(prior.predict_noise(NoiseQuery(**asked, view=view)).noise_BCHW, "with a view"))
    return ", ".join(said)


def latent_shape(bundle: Bundle) -> tuple[int, int, int]:
    """(C, h, w) of the latents that the bundle's prior takes."""
    from lift3d_ray.models.files import read_config

    config = read_config(bundle.path("unet"))
    side = int(config["sample_size"])
    return int(config["out_channels"]), side, side


def _pose(bundle: Bundle, device: str) -> str:
    regressor = bundles.load_pose(bundle)
    assert regressor is not None
    return finite(regressor.estimate(picture()).elevation_deg, "elevation")


def _coarse(bundle: Bundle, device: str) -> str:
    estimator = bundles.load_coarse(bundle)
    assert estimator is not None
    return finite(estimator.estimate(picture()).filled_SSD, "solid")


def _points(bundle: Bundle, device: str) -> str:
    sampler = bundles.load_point_cloud(bundle, device=device)
    assert sampler is not None
    return finite(sampler.in_steps(2).guess_points(picture(), seed=0).xyz_N3, "points")


TRIALS: Mapping[str, Callable[[Bundle, str], str]] = MappingProxyType(
    {
        "segmenter": _segment,
        "captioner": _caption,
        "depth": _depth,
        "clip": _clip,
        "vae": _codec,
        "unet": _prior,
        "pose": _pose,
        "coarse": _coarse,
        "point_cloud": _points,
    }
)
"""By the role that leads: the prior's trial asks its text encoder, schedule, ControlNet and view network too."""
