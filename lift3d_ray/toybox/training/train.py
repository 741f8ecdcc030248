"""``lift3d-ray models train toybox``: the embedded bundle from nothing but this package.

Every step goes on where an earlier run into the same work folder stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lift3d_ray.devices import check_device
from lift3d_ray.errors import ConfigError
from lift3d_ray.toybox.training import train_perception, train_priors
from lift3d_ray.toybox.training.card import write_card
from lift3d_ray.toybox.training.effort import effort_of
from lift3d_ray.toybox.training.export import write_bundle_file
from lift3d_ray.toybox.training.train_priors import Tell, Workshop

STAGES: dict[str, Callable[[Workshop], None]] = {
    "prior-data": train_priors.build_prior_data,
    "perception-data": train_perception.build_perception_data,
    "vae": train_priors.train_codec,
    "captioner": train_perception.train_captioner,
    "clip": train_perception.train_clip,
    "vae_on": train_priors.train_codec_on,
    "view_unet": train_priors.train_view_prior,
    "unet": train_priors.train_text_prior,
    "controlnet": train_priors.train_controlnet,
    "segmenter": train_perception.train_segmenter,
    "pose": train_perception.train_pose,
    "coarse": train_perception.train_coarse,
    "point_cloud": train_perception.train_point_cloud,
    "depth": train_perception.train_depth,
}
"""What can be made, in an order in which each finds what it needs."""
ON_REQUEST = {"vae_on"}
"""Made only where it is named: more of what there is already."""


def run(
    stages: Sequence[str],
    *,
    work: Path,
    bundle: Path,
    threads: int = 1,
    device: str = "cpu",
    loaders: int = 0,
    effort: str = "cores",
    steps: int | None = None,
    tell: Tell = print,
) -> None:
    """Run the named stages, or all but those made on request, in order; then write ``bundle.json`` and the model card.

    Args:
        stages: names of ``STAGES``; empty = all but ``ON_REQUEST``.
        work: data, checkpoints, logs and sheets.
        bundle: the folder to write the roles to.
        threads: torch threads, and processes that render data.
        device: torch device.
        loaders: processes that draw batches ahead; 0 = each is drawn when it is needed.
        effort: name of ``EFFORTS``.
        steps: steps instead of each role's own, for trials.
        tell: told about progress.

    Raises:
        ConfigError: an unknown stage or effort, or no such device.
    """
    check_device(device)
    unknown = [name for name in stages if name not in STAGES]
    if unknown:
        raise ConfigError(f"unknown role {', '.join(unknown)}: choose among {', '.join(STAGES)}")
    shop = Workshop(
        work=work,
        bundle=bundle,
        threads=threads,
        device=device,
        loaders=loaders,
        effort=effort_of(effort),
        steps=steps,
        tell=tell,
    )
    for name, stage in STAGES.items():
        if name in stages or not (stages or name in ON_REQUEST):
            tell(f"== {name}")
            stage(shop)
    write_bundle_file(bundle)
    write_card(bundle)
