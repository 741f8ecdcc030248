"""A route that asks models behind real Serve handles; its pictures are coloured squares with a name."""

from __future__ import annotations

import hashlib

import numpy as np

from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Find, Optimize, Perceive, Perceived, Report, Route, RunContext
from lift3d_ray.deployments.engines import ANALYTIC_LATENT_SHAPE
from lift3d_ray.deployments.handles import connect, connect_prior
from lift3d_ray.errors import NoSubject
from lift3d_ray.models.analytic import AnalyticPrior
from lift3d_ray.types import Asset, MaskProposal, NoiseQuery, Perception, Progress, SegmentQuery, UInt8
from tests.batch.fakes import asset, perception, write

STEPS = 60
COLORS = {"red": 0, "green": 1, "blue": 2}


def square(words: str) -> UInt8:
    picture = np.full((32, 32, 3), 128, np.uint8)
    for name, channel in COLORS.items():
        if name in words:
            picture[8:24, 8:24] = 128
            picture[8:24, 8:24, channel] = 255
    return picture


def open_perceive(context: RunContext) -> Perceive:
    models = connect(context.app_name)

    def perceive(data: bytes, *, name: str, mask: MaskProposal | None = None) -> Perceived:
        words = data.decode()
        picture = square(words)
        if not models.segmenter.segment(SegmentQuery(rgb_HWC=picture)):
            raise NoSubject(name)
        disparity = models.depth.estimate_disparity(picture)
        assert models.clip.encode_images(picture[None]).shape == models.clip.encode_texts([words]).shape
        seen: Perception = perception(models.captioner.caption(picture) + (" kill" if "kill" in words else ""))
        assert disparity.shape == (32, 32)
        return Perceived(perception=seen, photo_height_px=32, photo_width_px=32)

    return perceive


def open_find(context: RunContext) -> Find:
    segmenter = connect(context.app_name).segmenter

    def find(data: bytes, *, name: str) -> list[MaskProposal]:
        return segmenter.segment(SegmentQuery(rgb_HWC=square(data.decode())))

    return find


def open_optimize(context: RunContext, share: Share) -> Optimize:
    import ray

    prior = connect_prior(context.app_name)
    near = AnalyticPrior(np.zeros(ANALYTIC_LATENT_SHAPE, np.float32), spread=1.0)
    assert share.gpus == 0 or len(ray.get_gpu_ids()) == 1

    def optimize(perceived: Perceived, *, seed: int, report: Report) -> Asset:
        rng = np.random.default_rng(seed)
        digest = hashlib.sha256()
        for step in range(STEPS):
            query = NoiseQuery(
                noisy_latents_BCHW=rng.standard_normal((2, *ANALYTIC_LATENT_SHAPE), dtype=np.float32),
                timesteps_B=rng.integers(0, 1000, 2),
                guidance_scale=2.0,
                prompts=(perceived.perception.caption,) * 2,
                negative_prompts=("", ""),
            )
            if step == STEPS // 2 and "kill" in perceived.perception.caption:
                kill_prior(context.app_name)
            answer = prior.predict_noise(query)
            np.testing.assert_allclose(answer.noise_BCHW, near.predict_noise(query).noise_BCHW, atol=1e-5)
            digest.update(answer.noise_BCHW.tobytes())
            report(Progress(stage="optimize", step=step, steps=STEPS, prior_batch=answer.batch_size))
        return asset(perceived.perception, seed)

    return optimize


def kill_prior(app_name: str) -> None:
    """Kill the replica of the prior, as a lost machine would."""
    import ray
    from ray.util import list_named_actors

    replicas = [a["name"] for a in list_named_actors(all_namespaces=True) if f"{app_name}#NoisePredictor" in a["name"]]
    assert replicas, list_named_actors(all_namespaces=True)
    for name in replicas:
        ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)


SERVED = Route(open_perceive=open_perceive, open_find=open_find, open_optimize=open_optimize, write=write)
