"""A picture drawn from words, to be lifted like a photo: text to 3D by way of a picture.

The text prior is asked for the front of the thing, as it was trained to show it: alone, before white. It draws several
pictures from different noise, and CLIP says which agrees best with the words.

The picture is as large as the prior paints. The embedded one paints 32 x 32 pixels: enlarging gives a crop of the size
that the stages expect, and no detail that was not there.

Shape suffixes: B drawings, S picture side, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from lift3d_ray.conditioning.prompts import View
from lift3d_ray.errors import ConfigError, PriorError
from lift3d_ray.guidance.ddim import sample_ddim
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import ImageTextEncoder, NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.types import Float32, NoiseQuery, Photo, UInt8


@dataclass(frozen=True, kw_only=True)
class DrawingConfig:
    """How pictures are drawn.

    Attributes:
        draws: pictures to choose from.
        steps: sampling steps of each.
        scale: classifier-free guidance scale; twice as much made the embedded prior's pictures louder, not truer.
        size_px: least side of the picture, to which smaller ones are enlarged.
    """

    draws: int = 8
    steps: int = 24
    scale: float = 3.0
    size_px: int = 256

    def __post_init__(self) -> None:
        if min(self.draws, self.steps, self.size_px) < 1 or self.scale < 0:
            raise ConfigError(f"a drawing needs draws, steps and size_px >= 1 and scale >= 0, got {self}")


def draw_photo(
    prompt: str,
    prior: NoisePredictor,
    encoder: ImageTextEncoder,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    *,
    digest: str,
    generator: torch.Generator,
    config: DrawingConfig | None = None,
) -> Photo:
    """The picture, of several drawn, that agrees best with the words.

    Args:
        prompt: what to draw, such as "a red mug".
        prior: a text-conditioned prior.
        encoder: chooses among the drawings.
        codec: the prior's codec.
        schedule: the prior's schedule.
        digest: identity of the words, which becomes the picture's.
        generator: source of the drawings' noise, on the CPU; the same state gives the same picture.
        config: effort and size.

    Returns:
        A photo of at least ``size_px``, marked as drawn, the prompt its name.

    Raises:
        ConfigError: the prompt is empty.
        PriorError: the prior failed, or drew what is no picture.
    """
    if not prompt.strip():
        raise ConfigError("an empty prompt says nothing to draw; say what it is, such as 'a red mug'")
    chosen, drawn = config or DrawingConfig(), f"{prompt}, {View.FRONT.value} view"
    pictures_BHWC = _draw(drawn, prior, codec, schedule, generator, chosen)
    agreement_B = encoder.encode_images(pictures_BHWC) @ encoder.encode_texts([drawn])[0]
    return Photo(
        rgb_HWC=pictures_BHWC[int(np.argmax(agreement_B))], alpha_HW=None, digest=digest, name=prompt, drawn=True
    )


def _draw(
    prompt: str,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    generator: torch.Generator,
    config: DrawingConfig,
) -> UInt8:
    """(B, S, S, 3) uint8 drawings."""
    blank = torch.ones((1, 3, codec.image_size, codec.image_size), device=codec.device)
    with torch.no_grad():
        shape = codec.encode(blank).shape[1:]
    query = NoiseQuery(
        noisy_latents_BCHW=torch.randn((config.draws, *shape), generator=generator).numpy(),
        timesteps_B=np.zeros(config.draws, dtype=np.int64),
        guidance_scale=config.scale,
        prompts=(prompt,) * config.draws,
        negative_prompts=("",) * config.draws,
    )
    clean = sample_ddim(prior, schedule, query, steps=config.steps)
    with torch.no_grad():
        decoded = codec.decode(torch.from_numpy(clean).to(codec.device)).float().cpu().permute(0, 2, 3, 1).numpy()
    if not np.isfinite(decoded).all():
        raise PriorError(f"the prior drew numbers that are not finite for {prompt!r}; check the bundle's weights")
    return np.stack([_enlarged(picture, config.size_px) for picture in decoded])


def _enlarged(picture_HWC: Float32, size_px: int) -> UInt8:
    picture = Image.fromarray(np.asarray(np.round(picture_HWC * 255), dtype=np.uint8))
    side = max(size_px, picture.width)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)
