"""How far a whole job is, from how far its stage is."""

from __future__ import annotations

from lift3d_ray.types import Progress

_BEGINS = {
    "segment": 0.0,
    "caption": 0.02,
    "depth": 0.04,
    "invert": 0.05,
    "pose": 0.06,
    "coarse": 0.10,
    "optimize": 0.12,
    "mesh": 0.75,
    "refine": 0.80,
    "transfer": 0.95,
    "export": 0.96,
}
"""Part of a job's time that lies before a stage, in order: about what draft and standard lifts take."""


def overall(progress: Progress) -> float:
    """Part of a job that is done, in [0, 1]; an unknown stage counts as none, which a job store does not take back."""
    begins = _BEGINS.get(progress.stage)
    if begins is None:
        return 0.0
    ends = min((other for other in _BEGINS.values() if other > begins), default=1.0)
    done = min(1.0, max(0.0, progress.step / progress.steps)) if progress.steps > 0 else 0.0
    return begins + (ends - begins) * done
