"""The prior's roles trained for a step or two on a handful of toys: data, losses, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.models.bundle import load_bundle
from lift3d_ray.models.latents import load_codec
from lift3d_ray.toybox import Split, sample_object
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.training import train_priors, views
from lift3d_ray.toybox.training.codec import lay_linear_path, new_autoencoder, principal_patches, reconstruct
from lift3d_ray.toybox.training.export import write_bundle_file
from lift3d_ray.toybox.training.latents import over_white
from lift3d_ray.toybox.training.train_priors import Workshop
from lift3d_ray.toybox.training.views import build_views, join_views, load_views, mirror_views
from tests.models.small_clip import write_untrained_clip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("training")
    shard = views.SHARD
    views.SHARD = 6
    try:
        build_views(root / "work" / "views", toys=6, split=Split.TRAIN, progress=lambda line: None)
        build_views(
            root / "work" / "views_shapes", toys=6, split=Split.TRAIN, any_shape=True, progress=lambda line: None
        )
        build_views(root / "work" / "views_heldout", toys=6, split=Split.HELD_OUT, progress=lambda line: None)
    finally:
        views.SHARD = shard
    return Workshop(work=root / "work", bundle=root / "bundle", steps=2, tell=lambda line: None)


def test_views_are_framed_as_promised(shop: Workshop) -> None:
    loaded = load_views(shop.work / "views")
    assert loaded.target_rgba.shape == (6, views.TARGETS, 64, 64, 4)
    assert len(loaded.captions) == 6
    for picture in loaded.reference_rgba.reshape(-1, 64, 64, 4):
        rows, columns = np.nonzero(picture[..., 3] > 127)
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 0.68 < longer / 64 < 0.9


def test_mirrored_views_are_the_toys_seen_from_the_other_side(shop: Workshop) -> None:
    plain = load_views(shop.work / "views")
    both = join_views(plain, mirror_views(plain))
    assert len(both.captions) == len(both.classes) == len(both.target_rgba) == 12
    np.testing.assert_array_equal(both.target_rgba[6:], plain.target_rgba[..., ::-1, :])
    np.testing.assert_array_equal(both.target_disparity[6:], plain.target_disparity[..., ::-1])
    np.testing.assert_array_equal(both.reference_azimuth_deg[6:], -plain.reference_azimuth_deg)
    # A ball-like thing would not tell: seen from azimuth a, the mirrored toy is what the toy is from -a.
    toy = sample_object(0, split=Split.TRAIN)
    flip = np.array([-1, 1, 1], np.float32)
    other = replace(toy, vertices=toy.vertices * flip, normals=toy.normals * flip, faces=toy.faces[:, ::-1])
    seen = render(toy, orbit_c2w(30.0, 10.0), size=32).alpha[0]
    from_the_other_side = render(other, orbit_c2w(-30.0, 10.0), size=32).alpha[0]
    assert np.abs(seen[:, ::-1] - from_the_other_side).mean() < 0.01


def test_the_codec_starts_as_a_principal_component_analysis(shop: Workshop) -> None:
    pictures = over_white(load_views(shop.work / "views").target_rgba)
    autoencoder = new_autoencoder()
    torch.manual_seed(0)
    lay_linear_path(autoencoder, pictures)
    mean, directions, _ = principal_patches(pictures)
    patches = torch.nn.functional.pixel_unshuffle(pictures, 4).permute(0, 2, 3, 1) - mean
    best = (patches - patches @ directions.T @ directions).square().mean()
    with torch.no_grad():
        got = (reconstruct(autoencoder, pictures) - pictures).square().mean()
    # The class bends strong latents by a tanh, which costs something; a random codec would be off by the variance.
    assert float(got) < 4 * float(best)
    assert float(got) < 0.1 * float(patches.square().mean())


def test_every_role_trains_and_loads(shop: Workshop) -> None:
    train_priors.train_codec(shop)
    before = load_codec(shop.bundle / "vae", image_size=32, pack=1).encode(torch.ones(1, 3, 32, 32) * 0.3)
    train_priors.train_codec_on(shop)
    after = load_codec(shop.bundle / "vae", image_size=32, pack=1).encode(torch.ones(1, 3, 32, 32) * 0.3)
    assert float((after - before).abs().max()) < 0.1 * float(before.abs().max()), (
        "latents stay where the priors know them"
    )
    write_untrained_clip(shop.bundle / "clip")
    train_priors.train_view_prior(shop)
    train_priors.train_text_prior(shop)
    train_priors.train_controlnet(shop)
    for role in ("segmenter", "captioner", "depth"):
        (shop.bundle / role).mkdir()
    write_bundle_file(shop.bundle)
    bundle = load_bundle(shop.bundle)
    assert bundle.has_view_prior
    assert bundle.optional_path("controlnet") is not None
    assert bundle.path("image_encoder") == bundle.path("clip")
    assert len(bundle.digest) == 16
