"""Functions that load the models of a bundle where a replica lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lift3d_ray.deployments.services import Loaders
from lift3d_ray.models.analytic import AnalyticPrior, ColorCaptioner, ColorSegmenter, DigestEncoder, DomeDepth

if TYPE_CHECKING:
    from lift3d_ray.models.roles import NoisePredictor
    from lift3d_ray.models.tuning import Tuning

ANALYTIC = "analytic"
"""Name of the bundle without weights."""

ANALYTIC_LATENT_SHAPE = (4, 8, 8)


def load_models_from(
    bundle: str, *, device: str, dtype: str, threads: int, tuning: Tuning | None = None
) -> tuple[Loaders, str]:
    """Loaders for every role of a bundle, and the bundle's digest. Nothing is loaded yet.

    Args:
        bundle: name or folder, or ``analytic``, of which nothing can be tuned.
        device: torch device of the models.
        dtype: precision of the weights.
        threads: CPU threads of each replica.
        tuning: what is done to the prior when it is loaded.

    Raises:
        BundleError: the bundle cannot be found.
    """
    if bundle == ANALYTIC:
        return analytic_loaders(), ANALYTIC
    from lift3d_ray.models import bundle as bundles

    def loader(role: Callable[..., Any]) -> Callable[[], Any]:
        return partial(_load, role, bundle, device, dtype, threads)

    loaders = Loaders(
        segmenter=loader(bundles.load_segmenter),
        captioner=loader(bundles.load_captioner),
        depth=loader(bundles.load_depth),
        clip=loader(bundles.load_clip),
        prior=loader(partial(bundles.load_prior, tuning=tuning)),
    )
    return loaders, bundles.load_bundle(bundle).digest


def analytic_loaders() -> Loaders:
    """Loaders of the models in closed form."""
    return Loaders(
        segmenter=ColorSegmenter,
        captioner=ColorCaptioner,
        depth=DomeDepth,
        clip=DigestEncoder,
        prior=_analytic_prior,
    )


def _analytic_prior() -> NoisePredictor:
    import numpy as np

    return AnalyticPrior(np.zeros(ANALYTIC_LATENT_SHAPE, dtype=np.float32), spread=1.0)


def _load(role: Callable[..., Any], bundle: str, device: str, dtype: str, threads: int) -> Any:
    """Load one role in this process, after giving torch its threads."""
    import torch

    from lift3d_ray.models.bundle import load_bundle

    torch.set_num_threads(threads)
    return role(load_bundle(bundle), device=device, dtype=getattr(torch, dtype))
