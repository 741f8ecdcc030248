"""Textual inversion: a word that no dictionary has, learnt from the one picture of the subject (Gal et al. 2022).

e* = argmin_e E || eps_phi(z_t, prompt with e) - eps ||^2, from the embedding of the caption's own noun; settings follow
Anything-3D. Only the vectors of that one word move. The prior, wherever it lives, gives losses and gradients; the
optimiser and all randomness are here, so learning can stop at any step and go on elsewhere.

Shape suffixes: B pictures of a step, T tokens of the word, D embedding width, S picture side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from lift3d_ray.cameras import CANONICAL, Framing
from lift3d_ray.conditioning.augment import augmented
from lift3d_ray.conditioning.caption import split_view
from lift3d_ray.conditioning.keyword import find_keyword, replace_keyword, with_keyword
from lift3d_ray.conditioning.prompts import View, view_prompts
from lift3d_ray.errors import ConfigError, PriorError
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import WordTeacher
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.recipes import InversionConfig
from lift3d_ray.types import DenoisingQuery, Float32, LearnedToken, Perception, Progress, ReferencePose, Subject

_HELD_OUT_SEED = 20220802
_HELD_OUT_A_PASS = 16


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What is to be said, and what of it is to be learnt.

    Attributes:
        caption: the thing in words, without a view phrase; holds the keyword.
        keyword: the word whose place the learned one takes.
        view: the side that the picture shows, None counts as the front.
        elevation_deg: of the picture's camera above the horizon.
    """

    caption: str
    keyword: str
    view: View | None = None
    elevation_deg: float = 0.0

    def seen(self, text: str) -> str:
        """A text with the words for the picture's own view behind it, as the lift will say it."""
        return view_prompts(text, [0.0], [self.elevation_deg], reference_view=self.view).prompts[0]


def word_it(perception: Perception, *, elevation_deg: float = 0.0, keyword: str | None = None) -> Wording:
    """The wording of a perceived subject.

    Args:
        perception: its caption counts.
        elevation_deg: of the photo's camera.
        keyword: what it is in one word, instead of the caption's own noun.

    Raises:
        ConfigError: the keyword is not a single word.
    """
    caption, view = split_view(perception.caption)
    if keyword is not None:
        caption = with_keyword(caption, keyword)
    return Wording(caption=caption, keyword=keyword or find_keyword(caption), view=view, elevation_deg=elevation_deg)


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """A subject's own word.

    Attributes:
        caption: the caption with that word in the keyword's place, without a view phrase.
        token: the word.
        metrics: what it gave: ``inversion_loss_before`` and ``inversion_loss_after``, the mean squared error of the
            prior on drawings of the subject that learning never saw, under the plain caption and under this one, and
            ``inversion_gain``, the part of the former that is gone. They are drawings of the photo's own view: the
            other views may gain less, or lose.
    """

    caption: str
    token: LearnedToken
    metrics: dict[str, float] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and words only; ``learn_word`` takes them back."""
        return {
            "learnt": self.caption,
            "vectors": torch.tensor(self.token.vectors_TD),
            "metrics": dict(self.metrics),
        }


@dataclass(kw_only=True)
class InversionState:
    """A word on its way.

    Attributes:
        wording: what it is learnt for.
        vectors_TD: its vectors, on the CPU.
        norms_T: the lengths that they are pulled to: the first guess's.
        optimizer: AdamW over them, without decay.
        generator: every random number of the learning comes from here.
        step: steps done.
    """

    wording: Wording
    vectors_TD: Tensor
    norms_T: Tensor
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and words only; ``restored`` takes them back."""
        return {
            "caption": self.wording.caption,
            "keyword": self.wording.keyword,
            "vectors": self.vectors_TD.detach().clone(),
            "norms": self.norms_T.clone(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
        }


def initial_state(wording: Wording, teacher: WordTeacher, *, generator: torch.Generator) -> InversionState:
    """The keyword itself: before the first step the learned word says exactly what the keyword says."""
    vectors = torch.tensor(teacher.word_vectors(wording.keyword))
    norms = vectors.norm(dim=1)
    if not bool(torch.isfinite(vectors).all()) or float(norms.min()) == 0:
        raise PriorError(f"the prior's embedding of {wording.keyword!r} is empty or not finite: check the bundle")
    return InversionState(
        wording=wording, vectors_TD=vectors, norms_T=norms, optimizer=_new_optimizer(vectors), generator=generator
    )


def restored(saved: dict[str, Any], wording: Wording) -> InversionState:
    """The state that ``InversionState.state_dict`` stored.

    Raises:
        ConfigError: it was learnt for other words.
    """
    was, now = (saved["caption"], saved["keyword"]), (wording.caption, wording.keyword)
    if was != now:
        raise ConfigError(f"the stored word was learnt for {was}, now it is {now}: start without it")
    vectors = saved["vectors"].clone()
    optimizer = _new_optimizer(vectors)
    optimizer.load_state_dict(saved["optimizer"])
    generator = torch.Generator().manual_seed(0)
    generator.set_state(saved["generator"])
    return InversionState(
        wording=wording,
        vectors_TD=vectors,
        norms_T=saved["norms"].clone(),
        optimizer=optimizer,
        generator=generator,
        step=saved["step"],
    )


def _new_optimizer(vectors_TD: Tensor) -> torch.optim.AdamW:
    return torch.optim.AdamW([vectors_TD.requires_grad_()], weight_decay=0.0)


def learn_word(
    perception: Perception,
    pose: ReferencePose,
    prior: object,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    config: InversionConfig,
    *,
    seed: int,
    report: Callable[[Progress], None],
    checkpoint: Callable[[dict[str, Any]], None] | None = None,
    resume_from: dict[str, Any] | None = None,
) -> Inverted:
    """A perceived subject's own word, from the start, from a stored state, or as it was stored when it was ready.

    Args:
        perception: the subject and its caption.
        pose: how the photo looks at it.
        prior: the one whose prompts the word is for.
        codec: pictures to latents.
        schedule: the prior's schedule.
        config: all numbers.
        seed: of every random number of the learning; those of the rest of the lift stay what they are.
        report: told about every step.
        checkpoint: given a state after every step (plain tensors, numbers and words).
        resume_from: such a state, or ``Inverted.state_dict``.

    Raises:
        ConfigError: the prior cannot teach words.
        PriorError: an answer that is not finite.
    """
    if resume_from is not None and "learnt" in resume_from:
        token = LearnedToken(vectors_TD=resume_from["vectors"].numpy())
        return Inverted(caption=resume_from["learnt"], token=token, metrics=dict(resume_from["metrics"]))
    if not isinstance(prior, WordTeacher):
        raise ConfigError(f"{type(prior).__name__} cannot teach words: use a recipe whose inversion takes no steps")
    wording = word_it(perception, elevation_deg=pose.elevation_deg)
    state = (
        initial_state(wording, prior, generator=torch.Generator().manual_seed(seed))
        if resume_from is None
        else restored(resume_from, wording)
    )
    return invert(
        learning_picture(perception.subject, codec, pose.framing),
        state,
        prior,
        codec,
        schedule,
        config,
        report=report,
        checkpoint=None if checkpoint is None else _store_with(checkpoint),
    )


def _store_with(checkpoint: Callable[[dict[str, Any]], None]) -> Callable[[InversionState], None]:
    return lambda state: checkpoint(state.state_dict())


def invert(
    picture_3SS: Tensor,
    state: InversionState,
    teacher: WordTeacher,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    config: InversionConfig,
    *,
    report: Callable[[Progress], None],
    checkpoint: Callable[[InversionState], None] | None = None,
) -> Inverted:
    """Learn to the end of the configuration, from wherever the state is.

    Args:
        picture_3SS: the one picture to learn from (``learning_picture``).
        state: what changes; left at the last step.
        teacher: gives losses and gradients.
        codec: pictures to latents.
        schedule: the prior's schedule.
        config: all numbers.
        report: told about every step.
        checkpoint: given the state after every step; decides itself when to store it.

    Raises:
        PriorError: an answer that is not finite.
    """
    while state.step < config.steps:
        latents = _encoded(picture_3SS, config.batch, codec, config, state.generator)
        loss = _learn(latents, state, teacher, schedule, config)
        state.step += 1
        report(Progress(stage="invert", step=state.step, steps=config.steps, loss=loss))
        if checkpoint is not None:
            checkpoint(state)
    token = _token(state)
    wording = state.wording
    caption = replace_keyword(wording.caption, wording.keyword, token.word)
    before, after = (
        held_out_loss(picture_3SS, wording.seen(text), learned, teacher, codec, schedule, config)
        for text, learned in ((wording.caption, ()), (caption, (token,)))
    )
    metrics = {
        "inversion_loss_before": before,
        "inversion_loss_after": after,
        "inversion_gain": 1 - after / max(before, 1e-12),
    }
    return Inverted(caption=caption, token=token, metrics=metrics)


def _learn(
    latents_BCHW: Float32,
    state: InversionState,
    teacher: WordTeacher,
    schedule: NoiseSchedule,
    config: InversionConfig,
) -> float:
    """One step; the mean loss before it."""
    count = len(latents_BCHW)
    token = _token(state)
    draws = torch.rand(2, count, generator=state.generator).numpy()
    noise = torch.randn(latents_BCHW.shape, generator=state.generator).numpy()
    low, high = config.timesteps
    chosen = [config.templates[int(draw * len(config.templates))] for draw in draws[0]]
    answer = teacher.denoising_gradient(
        DenoisingQuery(
            latents_BCHW=latents_BCHW,
            noise_BCHW=noise,
            timesteps_B=np.array([schedule.timestep(low + (high - low) * float(draw)) for draw in draws[1]]),
            prompts=tuple(_said(template, state.wording, token) for template in chosen),
            learned=(token,),
        )
    )
    gradient, loss = answer.gradients_TD[0] / count, float(answer.losses_B.mean())
    if not (np.isfinite(gradient).all() and np.isfinite(loss)):
        raise PriorError(f"the prior's gradient is not finite at step {state.step} of the inversion: use float32")
    left = 1 - state.step / config.steps
    size = float(state.norms_T.mean()) / state.vectors_TD.shape[1] ** 0.5
    for group in state.optimizer.param_groups:
        group["lr"] = config.rate * size * left
    state.vectors_TD.grad = torch.tensor(gradient)
    state.optimizer.step()
    with torch.no_grad():
        norms = state.vectors_TD.norm(dim=1)
        pulled = norms.lerp(state.norms_T, config.norm_pull * left)
        state.vectors_TD.mul_((pulled / norms.clamp_min(1e-12))[:, None])
    return loss


def _said(template: str, wording: Wording, token: LearnedToken) -> str:
    caption = replace_keyword(wording.caption, wording.keyword, token.word)
    return wording.seen(template.format(caption=caption, word=token.word))


def _token(state: InversionState) -> LearnedToken:
    return LearnedToken(vectors_TD=np.array(state.vectors_TD.detach().numpy(), dtype=np.float32))


def held_out_loss(
    picture_3SS: Tensor,
    prompt: str,
    learned: Sequence[LearnedToken],
    teacher: WordTeacher,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    config: InversionConfig,
) -> float:
    """The prior's mean error on drawings of the subject under a prompt: the same drawings for every prompt.

    Pictures, noises and timesteps come from a generator of their own; timesteps are spread evenly. Colours are the
    subject's own.
    """
    generator = torch.Generator().manual_seed(_HELD_OUT_SEED)
    config = replace(config, jitter=0.0)
    low, high = config.timesteps
    losses: list[Float32] = []
    for start in range(0, config.held_out, _HELD_OUT_A_PASS):
        rows = np.arange(start, min(start + _HELD_OUT_A_PASS, config.held_out))
        latents = _encoded(picture_3SS, len(rows), codec, config, generator)
        fractions = low + (high - low) * (rows + 0.5) / config.held_out
        answer = teacher.denoising_gradient(
            DenoisingQuery(
                latents_BCHW=latents,
                noise_BCHW=torch.randn(latents.shape, generator=generator).numpy(),
                timesteps_B=np.array([schedule.timestep(float(fraction)) for fraction in fractions]),
                prompts=(prompt,) * len(rows),
                learned=tuple(learned),
            )
        )
        losses.append(answer.losses_B)
    return float(np.concatenate(losses).mean())


def learning_picture(subject: Subject, codec: LatentCodec, framing: Framing = CANONICAL) -> Tensor:
    """The subject over white as the canonical camera frames it, which is how the lift will show it to the prior.

    Args:
        subject: the cut-out; its picture is framed otherwise.
        codec: says how large, and where.
        framing: the picture's zoom and shift against the canonical camera.

    Returns:
        (3, S, S) float in [0, 1], S twice the codec's side.
    """
    whole = torch.from_numpy(subject.over(1.0)).permute(2, 0, 1).float()[None] / 255
    side, zoom = 2 * codec.image_size, framing.focal_scale
    # Averaged to the pixels that are looked at, so that they can be looked at one by one.
    sized = max(1, round(side * zoom))
    whole = interpolate(whole, size=(sized, sized), mode="bilinear", antialias=True)
    theta = torch.tensor([[[zoom, 0.0, framing.shift_x], [0.0, zoom, -framing.shift_y]]])
    seen = 1 - grid_sample(1 - whole, affine_grid(theta, [1, 3, side, side], align_corners=False), align_corners=False)
    return seen[0].clamp(0, 1).to(codec.device)


@torch.no_grad()
def _encoded(
    picture_3SS: Tensor, count: int, codec: LatentCodec, config: InversionConfig, generator: torch.Generator
) -> Float32:
    pictures = augmented(picture_3SS, count, codec.image_size, config, generator=generator)
    return np.asarray(codec.encode(pictures).float().cpu().numpy(), dtype=np.float32)
