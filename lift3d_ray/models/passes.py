"""The largest pass of every role in a lift, as a computation over an empty model, to measure what it holds.

Shape suffixes: B pictures, C channels, h w latent cells, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from lift3d_ray.recipes import Conditioning, GuidanceTerm, Recipe


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a lift asks of the models at once.

    Attributes:
        recipe: the recipe.
        image_size: side of the prior's pictures, pixels.
    """

    recipe: Recipe
    image_size: int

    @property
    def latents(self) -> int:
        """Latents in one pass of the text prior, both branches of its guidance counted."""
        return self._latents([term for term in self.recipe.guidance if term.conditioning is not Conditioning.VIEW])

    @property
    def viewed_latents(self) -> int:
        """The same of the view-conditioned prior."""
        return self._latents([term for term in self.recipe.guidance if term.conditioning is Conditioning.VIEW])

    def _latents(self, terms: list[GuidanceTerm]) -> int:
        branches = max((2 if term.scale != 1 else 1 for term in terms), default=1)
        # Views that are drawn once are drawn together.
        return branches * max(self.recipe.optimize.views, self.recipe.optimize.drawn_views)


Pass = Callable[[Any, Asked, Tensor], object]
"""A computation over a model; the last argument gives device and precision to what it makes."""


@torch.no_grad()
def _segment(sam: Any, asked: Asked, like: Tensor) -> object:
    """One picture through the encoder, then 64 clicks of the automatic mode, their masks enlarged."""
    side, clicks = int(sam.image_encoder.img_size), 64
    seen = sam.image_encoder(like.new_empty(1, 3, side, side))
    # What follows is asked in single precision: a click is two tokens, itself and one that fills the box's place.
    like = torch.empty((), device=like.device)
    sparse = like.new_empty(clicks, 2, sam.prompt_encoder.embed_dim)
    dense = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(clicks, -1, *seen.shape[-2:])
    masks, _ = sam.mask_decoder(
        image_embeddings=seen.float(),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    return sam.postprocess_masks(masks, (side, side), (side, side))


@torch.no_grad()
def _caption(model: Any, asked: Asked, like: Tensor) -> object:
    """A picture through the tower, then three beams of the longest caption at once, without a cache."""
    config = model.config
    side, beams, length = int(config.vision_config.image_size), 3, 30
    seen = model.vision_model(pixel_values=like.new_empty(1, 3, side, side)).last_hidden_state
    tokens = torch.zeros(beams, length, dtype=torch.long, device=like.device)
    if hasattr(model, "text_decoder"):
        return model.text_decoder(input_ids=tokens, encoder_hidden_states=seen.expand(beams, -1, -1))
    queries = model.query_tokens.expand(beams, -1, -1)
    told = model.qformer(query_embeds=queries, encoder_hidden_states=seen.expand(beams, -1, -1)).last_hidden_state
    words = model.language_model.get_input_embeddings()(tokens)
    return model.language_model(inputs_embeds=torch.cat([model.language_projection(told), words], 1))


@torch.no_grad()
def _depth(model: Any, asked: Asked, like: Tensor) -> object:
    """A picture and its mirror image."""
    side = int(model.config.image_size)
    return model(like.new_empty(2, 3, side, side))


@torch.no_grad()
def _clip(model: Any, asked: Asked, like: Tensor) -> object:
    return _pictured(model.vision_model, model.config.vision_config, max(1, asked.recipe.caption.candidates), like)


@torch.no_grad()
def _see(model: Any, asked: Asked, like: Tensor) -> object:
    return _pictured(model, model.config, 1, like)


def _pictured(tower: Any, config: Any, pictures: int, like: Tensor) -> object:
    return tower(pixel_values=like.new_empty(pictures, 3, int(config.image_size), int(config.image_size)))


@torch.no_grad()
def _read(model: Any, asked: Asked, like: Tensor) -> object:
    """The prompts of a pass."""
    length = int(model.config.max_position_embeddings)
    return model(torch.zeros(asked.latents, length, dtype=torch.long, device=like.device))


@torch.no_grad()
def _denoise(unet: Any, asked: Asked, like: Tensor) -> object:
    return unet(**_noisy(unet, asked.latents, like))


@torch.no_grad()
def _denoise_view(unet: Any, asked: Asked, like: Tensor) -> object:
    """The tokens are as wide as the projection in front of its attention takes them."""
    asks = _noisy(unet, asked.viewed_latents, like)
    labels = unet.class_embedding.linear_1.in_features
    return unet(**asks, class_labels=like.new_empty(asked.viewed_latents, labels))


@torch.no_grad()
def _control(net: Any, asked: Asked, like: Tensor) -> object:
    if not asked.recipe.asks_depth:
        return None
    hint = like.new_empty(asked.latents, 3, asked.image_size, asked.image_size)
    asks = _noisy(net, asked.latents, like, side=asked.image_size // 2 ** halvings(net))
    return net(**asks, controlnet_cond=hint)


def halvings(net: Any) -> int:
    """How often a ControlNet halves the side of its hint until it has the latents'."""
    return len(net.config.conditioning_embedding_out_channels) - 1


def _noisy(unet: Any, latents: int, like: Tensor, side: int | None = None) -> dict[str, Any]:
    cells = side or int(unet.config.sample_size)
    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    return {
        "sample": like.new_empty(latents, int(unet.config.in_channels), cells, cells),
        "timestep": torch.zeros(latents, dtype=torch.long, device=like.device),
        "encoder_hidden_states": like.new_empty(latents, 77, int(width)),
    }


def _code(vae: Any, asked: Asked, like: Tensor) -> object:
    """A step's views into latents, with their gradients where the recipe asks for them; then out of them, without."""
    from lift3d_ray.models.latents import LatentCodec

    codec = LatentCodec(vae, image_size=asked.image_size)
    losses, views = asked.recipe.losses, asked.recipe.optimize.views
    pictures = like.new_empty(views, 3, asked.image_size, asked.image_size)
    wants_gradient = losses.latent > 0 or losses.clip_denoised > 0
    with torch.set_grad_enabled(wants_gradient):
        latents = codec.encode(pictures.requires_grad_(wants_gradient))
        if wants_gradient:
            latents.sum().backward()
    with torch.no_grad():
        return codec.decode(latents.detach())


@torch.no_grad()
def _draw_points(network: Any, asked: Asked, like: Tensor) -> object:
    """Both branches of the guidance."""
    config = network.config
    cloud = like.new_empty(2, 6, config.points)
    told = {"condition_BTD": like.new_empty(2, config.condition_tokens, config.condition_width)}
    if config.low_res_points:
        told["low_res_BCM"] = like.new_empty(2, 6, config.low_res_points)
    return network(cloud, torch.zeros(2, device=like.device), **told)


@torch.no_grad()
def _look(network: Any, asked: Asked, like: Tensor) -> object:
    return network(like.new_empty(2, 3, network.image_size, network.image_size))


PASSES: Mapping[str, Pass] = MappingProxyType(
    {
        "segmenter": _segment,
        "captioner": _caption,
        "depth": _depth,
        "clip": _clip,
        "image_encoder": _see,
        "point_clip": _see,
        "text_encoder": _read,
        "unet": _denoise,
        "view_unet": _denoise_view,
        "controlnet": _control,
        "vae": _code,
        "point_cloud": _draw_points,
        "point_upsampler": _draw_points,
        "pose": _look,
        "coarse": _look,
    }
)
"""By role."""


def pass_bytes(role: str, model: nn.Module, asked: Asked, dtype: torch.dtype) -> int:
    """Memory that a role's largest pass holds beside the weights.

    Args:
        role: of ``PASSES``.
        model: on ``meta``, or with weights on a device, in ``dtype``.
        asked: how much is asked at once.
        dtype: precision of the pass.
    """
    from lift3d_ray.models.memory import peak_bytes

    device = next(model.parameters()).device
    return peak_bytes(lambda: PASSES[role](model, asked, torch.empty((), device=device, dtype=dtype)), model)
