"""The route of a real run: ``lifting.perceive`` and ``lifting.optimize`` over the models behind Serve handles."""

from __future__ import annotations

from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Optimize, Perceive, Perceived, Report, Route, RunContext
from lift3d_ray.export.write import write_asset
from lift3d_ray.photo import read_photo
from lift3d_ray.types import Asset


def open_perceive(context: RunContext) -> Perceive:
    """Connect a perceiver to the models."""
    import torch

    from lift3d_ray.deployments.handles import connect
    from lift3d_ray.lifting import perceive

    torch.set_num_threads(1)
    models = connect(context.app_name)

    def perceive_bytes(data: bytes, *, name: str) -> Perceived:
        photo = read_photo(data, name=name)
        height, width = photo.rgb_HWC.shape[:2]
        perception = perceive(photo, models, context.recipe, selection=context.selection)
        return Perceived(perception=perception, photo_height_px=height, photo_width_px=width)

    return perceive_bytes


def open_optimize(context: RunContext, share: Share) -> Optimize:
    """Connect an optimizer to the prior and load what a scene keeps to itself."""
    import torch

    from lift3d_ray.deployments.handles import connect_prior
    from lift3d_ray.lifting import load_tools, optimize
    from lift3d_ray.models.bundle import load_bundle

    torch.set_num_threads(share.threads)
    device = "cuda" if share.gpus and torch.cuda.is_available() else "cpu"
    tools = load_tools(load_bundle(context.bundle), recipe=context.recipe, device=device)
    prior = connect_prior(context.app_name)

    def optimize_scene(perceived: Perceived, *, seed: int, report: Report) -> Asset:
        return optimize(perceived.perception, prior, context.recipe, seed=seed, tools=tools, report=report)

    return optimize_scene


LIFTING = Route(open_perceive=open_perceive, open_optimize=open_optimize, write=write_asset)
"""What ``submit`` runs unless told otherwise."""
