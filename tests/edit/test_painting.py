"""What a refinement may change on an edited surface."""

from __future__ import annotations

import numpy as np

from lift3d_ray.edit.painting import as_coarse_as
from lift3d_ray.refine import Refined, TexturedPoints

SIZE = 32


def seen(change: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Refined:
    """A disc before a white background, changed by so much where it is covered."""
    row, column = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    covered = (np.hypot(row, column) < SIZE / 3).astype(np.float32)[None]
    before = np.where(covered[..., None] > 0, np.float32(0.5), np.float32(1.0)).repeat(3, axis=-1)
    none = np.zeros((0, 3), np.float32)
    return Refined(
        points=TexturedPoints(xyz_N3=none, rgb_N3=none, normals_N3=none, canonical_N=np.zeros(0, bool)),
        viewpoints=(),
        before_VSSC=before,
        after_VSSC=np.asarray(before + covered[..., None] * change, dtype=np.float32),
        covered_VSS=covered,
        losses={},
        prior_s=0.0,
        prior_batch=0.0,
    )


def test_what_is_finer_than_the_priors_pictures_goes_and_the_rest_stays() -> None:
    flat = np.full((1, SIZE, SIZE, 3), -0.3, np.float32)
    row, column = np.mgrid[:SIZE, :SIZE]
    checks = np.where((row + column) % 2, np.float32(0.2), np.float32(-0.2))[None, ..., None]
    refined = seen(flat + checks)
    inside = refined.covered_VSS > 0
    changed = (as_coarse_as(refined, SIZE // 2).after_VSSC - refined.before_VSSC)[inside]
    # Up to the rim, where the background must not fade it.
    np.testing.assert_allclose(changed, -0.3, atol=0.12)
    assert changed.std() < 0.02


def test_a_prior_of_finer_pictures_is_believed_to_the_pixel() -> None:
    refined = seen(np.random.default_rng(0).normal(0, 0.1, (1, SIZE, SIZE, 3)).astype(np.float32))
    inside = refined.covered_VSS > 0
    got = as_coarse_as(refined, 512)
    np.testing.assert_allclose(got.after_VSSC[inside], refined.after_VSSC[inside], atol=1e-5)
