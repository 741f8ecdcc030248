"""Noise queries for tests."""

from __future__ import annotations

import numpy as np

from lift3d_ray.types import Float32, NoiseQuery, PromptBlend, ViewConditioning

SHAPE = (4, 8, 8)


def latents(seed: int, rows: int, shape: tuple[int, ...] = SHAPE) -> Float32:
    return np.random.default_rng(seed).standard_normal((rows, *shape)).astype(np.float32)


def query(
    seed: int = 0,
    rows: int = 2,
    *,
    scale: float = 2.0,
    view: bool = False,
    depth: bool = False,
    tokens: bool = False,
    blend: bool = False,
    shape: tuple[int, ...] = SHAPE,
    prompt: str = "a mug",
) -> NoiseQuery:
    rng = np.random.default_rng(seed)
    conditioning = ViewConditioning(
        reference_latents_BCHW=latents(seed + 1000, rows, shape),
        azimuth_deg_B=rng.uniform(-180, 180, rows).astype(np.float32),
        elevation_deg_B=rng.uniform(0, 30, rows).astype(np.float32),
        image_tokens_BTD=rng.standard_normal((rows, 4, 6)).astype(np.float32) if tokens else None,
    )
    return NoiseQuery(
        noisy_latents_BCHW=latents(seed, rows, shape),
        timesteps_B=rng.integers(20, 980, rows),
        guidance_scale=scale,
        prompts=(prompt,) * rows,
        negative_prompts=("",) * rows,
        view=conditioning if view else None,
        disparity_B1HW=rng.random((rows, 1, 16, 16), dtype=np.float32) if depth else None,
        blend=PromptBlend(prompts=("a cup",) * rows, share_B=rng.random(rows, dtype=np.float32)) if blend else None,
    )
