"""What a freshly compiled prior is asked at load, so that every network is compiled before the first scene.

Two latents stand for any number of them: one alone, which only a single view without guidance asks, is compiled when
it comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.passes import halvings
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.view_conditioning import POSITION_FEATURES
from lift3d_ray.types import NoiseQuery, ViewConditioning

LATENTS = 2


def warming_queries(unet: Any, view_unet: Any | None, controlnet: Any | None) -> list[NoiseQuery]:
    """A query for every way in which the networks of a prior are asked.

    Args:
        unet: text-conditioned UNet.
        view_unet: view-conditioned UNet, or None.
        controlnet: depth ControlNet, or None.
    """
    plain = _plain(unet)
    side = int(unet.config.sample_size)
    queries = []
    if unet.config.in_channels > unet.config.out_channels:
        queries.append(_deep(plain, side))
    else:
        queries.append(plain)
        if controlnet is not None:
            queries.append(_deep(plain, side * 2 ** halvings(controlnet)))
    if view_unet is not None:
        queries.append(_viewed(view_unet))
    return queries


def _plain(unet: Any) -> NoiseQuery:
    side = int(unet.config.sample_size)
    return NoiseQuery(
        noisy_latents_BCHW=np.zeros((LATENTS, int(unet.config.out_channels), side, side), dtype=np.float32),
        timesteps_B=np.zeros(LATENTS, dtype=np.int64),
        guidance_scale=1.0,
        prompts=("",) * LATENTS,
        negative_prompts=("",) * LATENTS,
    )


def _deep(query: NoiseQuery, side: int) -> NoiseQuery:
    return replace(query, disparity_B1HW=np.zeros((LATENTS, 1, side, side), dtype=np.float32))


def _viewed(view_unet: Any) -> NoiseQuery:
    query = _plain(view_unet)
    width = int(view_unet.config.encoder_hid_dim) - query.noisy_latents_BCHW.shape[1] - POSITION_FEATURES
    view = ViewConditioning(
        reference_latents_BCHW=query.noisy_latents_BCHW,
        azimuth_deg_B=np.zeros(LATENTS, dtype=np.float32),
        elevation_deg_B=np.zeros(LATENTS, dtype=np.float32),
        # Four stand for any number, which is compiled as one that varies.
        image_tokens_BTD=np.zeros((LATENTS, 4, width), dtype=np.float32) if width else None,
    )
    return replace(query, view=view)


def warm_up(prior: NoisePredictor, queries: Iterable[NoiseQuery]) -> None:
    """Ask a freshly compiled prior: its networks are compiled when they are first asked.

    Raises:
        ConfigError: they cannot be compiled here.
    """
    try:
        for query in queries:
            prior.predict_noise(query)
    except RuntimeError as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"the prior cannot be compiled here, leave --compile out: {first}") from error
