"""The prior compiled, laid out for tensor cores and sliced: asked for, refused where it cannot be, and right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.diffusion import DiffusionPrior, load_prior
from lift3d_ray.models.tuning import PLAIN, Tuning, check_compiler, takes_channels_last, tuned
from lift3d_ray.models.warming import warm_up, warming_queries
from lift3d_ray.toybox import VOCABULARY
from lift3d_ray.toybox.training.priors import (
    TEXT_WIDTH,
    new_controlnet,
    new_scheduler,
    new_text_encoder,
    new_text_unet,
    new_view_unet,
)
from lift3d_ray.toybox.training.tokenizers import write_clip_tokenizer
from lift3d_ray.types import NoisePrediction, NoiseQuery


def tiny_unet(in_channels: int = 4) -> Any:
    """One block with attention on 8x8 latents of four channels, compiled in seconds."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type=None,
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=TEXT_WIDTH,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPTokenizer

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("tiny")
    write_clip_tokenizer(root / "tokenizer", VOCABULARY)
    tokenizer = CLIPTokenizer.from_pretrained(str(root / "tokenizer"), local_files_only=True)
    tiny_unet().save_pretrained(str(root / "unet"), safe_serialization=True)
    new_text_encoder(tokenizer).save_pretrained(str(root / "text_encoder"), safe_serialization=True)
    new_scheduler().save_pretrained(str(root / "scheduler"))
    return root


def load(folder: Path, tuning: Tuning = PLAIN) -> DiffusionPrior:
    roles: Any = {role: folder / role for role in ("unet", "text_encoder", "tokenizer", "scheduler")}
    return load_prior(**roles, tuning=tuning)


def query(latents: int, scale: float = 2.0) -> NoiseQuery:
    rng = np.random.default_rng(latents)
    return NoiseQuery(
        noisy_latents_BCHW=rng.standard_normal((latents, 4, 8, 8), dtype=np.float32),
        timesteps_B=rng.integers(0, 1000, latents),
        guidance_scale=scale,
        prompts=("a red mug",) * latents,
        negative_prompts=("",) * latents,
    )


@pytest.mark.timeout(600)
def test_a_compiled_prior_answers_as_a_plain_one_and_is_compiled_once(folder: Path) -> None:
    from torch._dynamo.utils import counters

    try:
        check_compiler("cpu")
    except ConfigError as error:
        pytest.skip(str(error))
    compiled, plain = load(folder, Tuning(compile=True)), load(folder)
    before = counters["stats"]["unique_graphs"]
    assert before > 0
    for asked in (query(1), query(3), query(5, scale=1.0)):
        wanted = plain.predict_noise(asked).noise_BCHW
        np.testing.assert_allclose(compiled.predict_noise(asked).noise_BCHW, wanted, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == before


def test_slices_of_attention_answer_as_the_whole(folder: Path) -> None:
    sliced = load(folder, Tuning(slice_attention=True))
    assert {type(one).__name__ for one in sliced._unet.attn_processors.values()} == {"SlicedAttnProcessor"}
    wanted = load(folder).predict_noise(query(3)).noise_BCHW
    np.testing.assert_allclose(sliced.predict_noise(query(3)).noise_BCHW, wanted, atol=1e-5)


def test_channels_last_are_laid_out_where_asked() -> None:
    for asked in (False, True):
        unet = tuned(tiny_unet(), Tuning(channels_last=asked))
        assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last) is asked


@pytest.mark.parametrize(
    ("device", "dtype", "wanted"),
    [
        ("cpu", torch.bfloat16, False),
        ("cuda", torch.float32, False),
        ("cuda:1", torch.float16, True),
        ("cuda", torch.bfloat16, True),
    ],
)
def test_channels_last_are_for_half_precision_on_cuda(device: str, dtype: torch.dtype, wanted: bool) -> None:
    assert takes_channels_last(device, dtype) is wanted
    if wanted:
        Tuning(channels_last=True).check(device, dtype)
    else:
        with pytest.raises(ConfigError, match=f"half precision on CUDA, got .* on {device}"):
            Tuning(channels_last=True).check(device, dtype)


def test_what_excludes_each_other_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        load(tmp_path / "nothing", Tuning(compile=True, slice_attention=True))


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", none)
    with pytest.raises(ConfigError, match=r"C\+\+ compiler and found none: install"):
        Tuning(compile=True).check("cpu", torch.float32)
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    with pytest.raises(ConfigError, match="Triton, which is not here"):
        Tuning(compile=True).check("cuda", torch.float16)


def test_a_prior_that_cannot_be_compiled_is_said() -> None:
    class Broken:
        """Fails as a compiler does."""

        def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
            """Fail."""
            raise RuntimeError("Python.h: no such file\n(and much more)")

    with pytest.raises(ConfigError, match=r"leave --compile out: Python\.h: no such file$"):
        warm_up(Broken(), [query(2)])


@pytest.mark.parametrize("image_width", [0, 6])
def test_a_prior_is_warmed_with_all_it_can_be_asked(image_width: int) -> None:
    unet, view_unet = new_text_unet(), new_view_unet(image_width)
    controlnet = new_controlnet(unet)
    words, deep, view = warming_queries(unet, view_unet, controlnet)
    assert (words.view, words.disparity_B1HW) == (None, None)
    assert deep.disparity_B1HW is not None
    assert view.view is not None
    assert (view.view.image_tokens_BTD is None) is (image_width == 0)
    prior = DiffusionPrior(unet, _Told(), _schedule(), view_unet=view_unet, controlnet=controlnet)  # type: ignore[arg-type]
    warm_up(prior, (words, deep, view))


def test_a_prior_that_must_be_told_depth_is_warmed_so() -> None:
    (asked,) = warming_queries(tiny_unet(in_channels=5), None, None)
    assert asked.disparity_B1HW is not None
    told = DiffusionPrior(tiny_unet(in_channels=5), _Told(), _schedule())  # type: ignore[arg-type]
    warm_up(told, [asked])
    with pytest.raises(ValueError, match="told depth"):
        told.predict_noise(replace(asked, disparity_B1HW=None))


class _Told:
    """The same states for every prompt."""

    def __call__(self, prompts: tuple[str, ...], learned: object = ()) -> torch.Tensor:
        """(B, L, D) zeros."""
        return torch.zeros(len(prompts), 24, TEXT_WIDTH)


def _schedule() -> Any:
    from lift3d_ray.models.bundle import load_bundle, load_noise_schedule

    return load_noise_schedule(load_bundle())
