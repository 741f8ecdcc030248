"""The losses of refinement: gradients against finite differences, and what each of them asks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lift3d_ray.refine.losses import color_anchor, contextual, dissimilarity, masked_error, white_background


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHTS = torch.tensor([1.0, 0.3], dtype=torch.float64)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda x: masked_error(x, uniform(3, 6, 6, seed=1), uniform(6, 6, seed=2)), (3, 6, 6)),
        (lambda x: white_background(x, _corner(2, 8)), (2, 3, 8, 8)),
        (lambda x: color_anchor(x, uniform(9, 3, seed=1), uniform(9, seed=2)), (9, 3)),
        (lambda x: dissimilarity(x, uniform(4, 5, seed=1), WEIGHTS), (2, 4, 5)),
        (lambda x: contextual(x, uniform(4, 5, seed=1), WEIGHTS), (2, 6, 5)),
    ],
    ids=["photo", "background", "anchor", "similarity", "contextual"],
)
def test_gradients_are_those_of_finite_differences(loss: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    x = (uniform(*shape) * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x,))
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert float(gradient.abs().max()) > 1e-4


def _corner(pictures: int, size: int) -> Tensor:
    covered = torch.zeros(pictures, size, size, dtype=torch.float64)
    covered[:, :2, :2] = 1
    return covered


def test_the_photo_counts_inside_its_mask_alone() -> None:
    picture, wanted, mask = uniform(3, 4, 4), uniform(3, 4, 4, seed=1), torch.zeros(4, 4, dtype=torch.float64)
    assert float(masked_error(picture, wanted, mask)) == 0
    mask[1, 2] = 1
    expected = (picture[:, 1, 2] - wanted[:, 1, 2]).abs().mean()
    torch.testing.assert_close(masked_error(picture, wanted, mask), expected)


def test_the_background_is_free_near_points() -> None:
    dark = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    # 2 x 2 covered pixels grow by two to 4 x 4 in the corner.
    assert float(white_background(dark, _corner(1, 8))) == pytest.approx(48 / 64)
    assert float(white_background(dark + 1, _corner(1, 8))) == 0


def test_contextual_does_not_care_where_a_token_is() -> None:
    reference = uniform(6, 5, seed=1)
    shuffled = reference[torch.randperm(6, generator=torch.Generator().manual_seed(3))][None]
    weight = torch.ones(1, dtype=torch.float64)
    assert float(contextual(shuffled, reference, weight)) == pytest.approx(0, abs=1e-3)
    assert float(contextual(uniform(1, 6, 5, seed=9), reference, weight)) > 0.1


def test_contextual_misses_what_is_nowhere_in_the_picture() -> None:
    reference = uniform(6, 5, seed=1)
    weight = torch.ones(1, dtype=torch.float64)
    halves = reference[:3].repeat(2, 1)[None]
    assert float(contextual(halves, reference, weight)) > float(contextual(reference[None], reference, weight)) + 0.1


def test_likeness_is_asked_where_it_is_weighted() -> None:
    tokens, reference = uniform(2, 4, 5), uniform(3, 5, seed=1)
    nothing = torch.zeros(2, dtype=torch.float64)
    assert float(dissimilarity(tokens, reference, nothing)) == 0
    assert float(dissimilarity(reference[None], reference, nothing[:1] + 1)) == pytest.approx(0, abs=1e-12)


def test_firmly_held_colours_cost_more() -> None:
    first = uniform(4, 3)
    moved = first + 0.1
    held = torch.tensor([100.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    assert float(color_anchor(moved, first, held)) == pytest.approx(0.01 * 101 / 4)
