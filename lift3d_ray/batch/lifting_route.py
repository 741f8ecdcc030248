"""The route of a real run: ``lifting.perceive`` and ``lifting.optimize`` over the models behind Serve handles."""

from __future__ import annotations

from typing import Protocol

from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Find, Optimize, Perceive, Perceived, Report, Route, RunContext
from lift3d_ray.export.write import write_asset
from lift3d_ray.models.roles import Models
from lift3d_ray.photo import read_photo
from lift3d_ray.store.keys import candidate_seeds, picture_seed, prompt_digest
from lift3d_ray.types import Asset, MaskProposal, Photo


def open_perceive(context: RunContext) -> Perceive:
    """Connect a perceiver to the models."""
    import torch

    from lift3d_ray.deployments.handles import connect
    from lift3d_ray.lifting import perceive

    torch.set_num_threads(1)
    models = connect(context.app_name)
    read = _open_draw(context, models) if context.draws else read_photo

    def perceive_bytes(data: bytes, *, name: str, mask: MaskProposal | None = None) -> Perceived:
        photo = read(data, name=name)
        height, width = photo.rgb_HWC.shape[:2]
        prompt = photo.name if photo.drawn else context.prompt
        perception = perceive(photo, models, context.recipe, selection=context.selection, mask=mask, prompt=prompt)
        return Perceived(perception=perception, photo_height_px=height, photo_width_px=width)

    return perceive_bytes


class _Read(Protocol):
    """Bytes of a row -> its picture."""

    def __call__(self, data: bytes, *, name: str) -> Photo:
        """See the class."""
        ...


def _open_draw(context: RunContext, models: Models) -> _Read:
    """Load what it takes to draw pictures from words beside the shared prior."""
    import torch

    from lift3d_ray.guidance.drawing import draw_photo
    from lift3d_ray.models.bundle import load_bundle, load_codec, load_noise_schedule

    bundle = load_bundle(context.bundle)
    codec, schedule = load_codec(bundle), load_noise_schedule(bundle)

    def draw(data: bytes, *, name: str) -> Photo:
        digest = prompt_digest(data.decode())
        seed = picture_seed(context.settings.run_seed, digest)
        return draw_photo(
            data.decode(),
            models.prior,
            models.clip,
            codec,
            schedule,
            digest=digest,
            generator=torch.Generator().manual_seed(seed),
        )

    return draw


def open_find(context: RunContext) -> Find:
    """Connect a perceiver to the segmenter."""
    from lift3d_ray.deployments.handles import connect
    from lift3d_ray.subject.select import every_subject

    segmenter = connect(context.app_name).segmenter

    def find_in_bytes(data: bytes, *, name: str) -> list[MaskProposal]:
        return every_subject(read_photo(data, name=name), segmenter)

    return find_in_bytes


def open_optimize(context: RunContext, share: Share) -> Optimize:
    """Connect an optimizer to the prior and load what a scene keeps to itself."""
    import torch

    from lift3d_ray.best_of import optimize_best
    from lift3d_ray.deployments.handles import connect, connect_prior
    from lift3d_ray.lifting import load_tools, optimize
    from lift3d_ray.models.bundle import load_bundle

    torch.set_num_threads(share.threads)
    device = "cuda" if share.gpus and torch.cuda.is_available() else "cpu"
    tools = load_tools(load_bundle(context.bundle), recipe=context.recipe, device=device)
    prior = connect_prior(context.app_name)
    encoder = connect(context.app_name).clip if context.best_of > 1 else None
    # On CPUs one lift for every thread, and one that waits for the prior meanwhile; a GPU has room for all.
    side_by_side = context.best_of if device == "cuda" else share.threads + 1

    def optimize_scene(perceived: Perceived, *, seed: int, report: Report) -> Asset:
        seen, recipe = perceived.perception, context.recipe
        if encoder is None:
            return optimize(seen, prior, recipe, seed=seed, tools=tools, report=report)
        seeds = candidate_seeds(seed, context.best_of)
        return optimize_best(
            seen, prior, encoder, recipe, seeds=seeds, tools=tools, side_by_side=side_by_side, report=report
        )

    return optimize_scene


LIFTING = Route(open_perceive=open_perceive, open_find=open_find, open_optimize=open_optimize, write=write_asset)
"""What ``submit`` runs unless told otherwise."""
