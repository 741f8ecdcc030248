"""Learning a word: with a prior in closed form, where every answer is known, and with the embedded one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import CANONICAL, orbit_c2w
from lift3d_ray.conditioning.augment import augmented
from lift3d_ray.conditioning.inversion import (
    InversionState,
    Inverted,
    initial_state,
    invert,
    learn_word,
    learning_picture,
    restored,
    word_it,
)
from lift3d_ray.conditioning.prompts import View
from lift3d_ray.errors import ConfigError, PriorError
from lift3d_ray.lifting import silent
from lift3d_ray.models.analytic import AnalyticPrior
from lift3d_ray.models.bundle import load_bundle, load_codec, load_noise_schedule, load_prior
from lift3d_ray.models.roles import WordTeacher
from lift3d_ray.recipes import InversionConfig
from lift3d_ray.toybox import render
from lift3d_ray.types import DenoisingGradient, DenoisingQuery, Perception, ReferencePose
from tests.scenes import SCHEDULE, SIZE, PixelCodec, toy_perception

CONFIG = InversionConfig(steps=12, rate=2.0, norm_pull=0.0, held_out=8)
CODEC: Any = PixelCodec()


@pytest.fixture(scope="module")
def perception() -> Perception:
    return replace(toy_perception("mug")[1], caption="a red mug with white stripes, side view")


@pytest.fixture(scope="module")
def picture(perception: Perception) -> torch.Tensor:
    return learning_picture(perception.subject, CODEC)


def teacher() -> AnalyticPrior:
    """Believes that whatever is said looks grey; the vectors of a word are the pixels that it means."""
    return AnalyticPrior(np.full((3, SIZE, SIZE), -0.1, np.float32), spread=0.3)


def learn(
    perception: Perception,
    picture: torch.Tensor,
    config: InversionConfig = CONFIG,
    *,
    seed: int = 0,
    state: InversionState | None = None,
    asked: WordTeacher | None = None,
    checkpoint: Callable[[InversionState], None] | None = None,
) -> Inverted:
    prior = asked or teacher()
    start = state or initial_state(word_it(perception), prior, generator=torch.Generator().manual_seed(seed))
    return invert(picture, start, prior, CODEC, SCHEDULE, config, report=silent, checkpoint=checkpoint)


def test_the_word_comes_to_mean_the_picture(perception: Perception, picture: torch.Tensor) -> None:
    learnt = learn(perception, picture, replace(CONFIG, steps=25, rate=4.0, flip=0.0, zoom=0.0, shift=0.0, jitter=0.0))
    assert learnt.metrics["inversion_gain"] > 0.5
    meant = learnt.token.vectors_TD.reshape(3, SIZE, SIZE)
    shown = CODEC.encode(augmented(picture, 1, SIZE, replace(CONFIG, flip=0, zoom=0, shift=0, jitter=0),
                                   generator=torch.Generator()))[0].numpy()  # fmt: skip
    assert np.abs(meant - shown).mean() < 0.5 * np.abs(-0.1 - shown).mean()


def test_before_the_first_step_the_word_says_what_the_keyword_says(
    perception: Perception, picture: torch.Tensor
) -> None:
    learnt = learn(perception, picture, replace(CONFIG, steps=0))
    assert learnt.caption == f"a red {learnt.token.word} with white stripes"
    np.testing.assert_array_equal(learnt.token.vectors_TD, teacher().word_vectors("mug"))
    assert learnt.metrics["inversion_gain"] == pytest.approx(0, abs=1e-6)


def test_the_same_seed_gives_the_same_word_and_another_seed_another(
    perception: Perception, picture: torch.Tensor
) -> None:
    one, two, other = (learn(perception, picture, seed=seed) for seed in (1, 1, 2))
    assert one.token.word == two.token.word
    assert one.metrics == two.metrics
    assert other.token.word != one.token.word


@pytest.mark.parametrize("at", [1, 7, 12])
def test_going_on_from_a_file_gives_what_an_unbroken_run_gives(
    perception: Perception, picture: torch.Tensor, tmp_path: Path, at: int
) -> None:
    file = tmp_path / "word.pt"

    def store(state: InversionState) -> None:
        if state.step == at:
            torch.save(state.state_dict(), file)

    unbroken = learn(perception, picture, checkpoint=store)
    state = restored(torch.load(file, weights_only=True), word_it(perception))
    assert state.step == at
    assert learn(perception, picture, state=state).token.word == unbroken.token.word


def test_a_ready_word_is_taken_back_as_it_was_stored(perception: Perception, tmp_path: Path) -> None:
    def learnt(**options: Any) -> Inverted:
        pose, config = ReferencePose(elevation_deg=10.0), replace(CONFIG, steps=3)
        return learn_word(perception, pose, teacher(), CODEC, SCHEDULE, config, seed=1, report=silent, **options)

    stored: list[dict[str, Any]] = []
    word = learnt(checkpoint=stored.append)
    torch.save(word.state_dict(), tmp_path / "word.pt")
    again = learnt(resume_from=torch.load(tmp_path / "word.pt", weights_only=True))
    assert (again.caption, again.token.word, again.metrics) == (word.caption, word.token.word, word.metrics)
    assert len(stored) == 3
    assert learnt(resume_from=stored[-1]).metrics == word.metrics


def test_a_prior_that_cannot_teach_is_refused(perception: Perception) -> None:
    pose = ReferencePose(elevation_deg=10.0)
    with pytest.raises(ConfigError, match="object cannot teach words"):
        learn_word(perception, pose, object(), CODEC, SCHEDULE, CONFIG, seed=1, report=silent)


def test_a_word_learnt_for_other_words_is_refused(perception: Perception, picture: torch.Tensor) -> None:
    state = initial_state(word_it(perception), teacher(), generator=torch.Generator())
    with pytest.raises(ConfigError, match="was learnt for"):
        restored(state.state_dict(), word_it(perception, keyword="cup"))


def test_prompts_say_the_word_in_every_template_and_the_pictures_own_view(
    perception: Perception, picture: torch.Tensor
) -> None:
    class Listening(AnalyticPrior):
        """Remembers what it was asked."""

        def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
            """Remember and answer."""
            said.update(prompt.replace(query.learned[0].word, "X") for prompt in query.prompts if query.learned)
            held_out.update(query.prompts if not query.learned else ())
            return super().denoising_gradient(query)

    said: set[str] = set()
    held_out: set[str] = set()
    learn(perception, picture, asked=Listening(np.full((3, SIZE, SIZE), -0.1, np.float32), spread=0.3))
    wanted = {text.format(caption="a red X with white stripes", word="X") for text in CONFIG.templates}
    assert said == {f"{text}, side view" for text in wanted}
    assert held_out == {"a red mug with white stripes, side view"}


def test_lengths_are_pulled_back(perception: Perception, picture: torch.Tensor) -> None:
    before = np.linalg.norm(teacher().word_vectors("mug"))
    free, kept = (
        np.linalg.norm(learn(perception, picture, replace(CONFIG, norm_pull=pull)).token.vectors_TD)
        for pull in (0.0, 1.0)
    )
    assert abs(kept - before) < 0.5 * abs(free - before)


def test_an_answer_that_is_not_finite_ends_it(perception: Perception, picture: torch.Tensor) -> None:
    class Broken(AnalyticPrior):
        """Overflows."""

        def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
            """Nothing of use."""
            answer = super().denoising_gradient(query)
            return replace(answer, gradients_TD=tuple(np.full_like(g, np.inf) for g in answer.gradients_TD))

    mean = np.full((3, SIZE, SIZE), -0.1, np.float32)
    with pytest.raises(PriorError, match="not finite at step 0"):
        learn(perception, picture, asked=Broken(mean))
    with pytest.raises(PriorError, match="is empty or not finite"):
        learn(perception, picture, asked=AnalyticPrior(0 * mean))


def test_the_wording_takes_the_view_and_a_keyword_of_ones_own(perception: Perception) -> None:
    wording = word_it(perception)
    assert (wording.caption, wording.keyword, wording.view) == ("a red mug with white stripes", "mug", View.SIDE)
    assert word_it(perception, keyword="cup").caption == "cup, a red mug with white stripes"


def test_the_picture_is_framed_as_the_canonical_camera_frames_it() -> None:
    toy, perception, framing = toy_perception("mug", azimuth_deg=30.0, elevation_deg=20.0)
    wanted = torch.from_numpy(render(toy, orbit_c2w(30.0, 20.0), size=2 * SIZE).rgb[0]).permute(2, 0, 1)
    seen = learning_picture(perception.subject, CODEC, framing)
    askew = learning_picture(perception.subject, CODEC, CANONICAL)
    assert seen.shape == (3, 2 * SIZE, 2 * SIZE)
    assert (seen - wanted).abs().mean() < 0.02
    assert (askew - wanted).abs().mean() > 3 * (seen - wanted).abs().mean()


def test_variations_stay_on_white_and_follow_their_generator(picture: torch.Tensor) -> None:
    def draw(config: InversionConfig, seed: int = 0) -> torch.Tensor:
        return augmented(picture, 16, SIZE, config, generator=torch.Generator().manual_seed(seed))

    some = draw(CONFIG)
    assert some.shape == (16, 3, SIZE, SIZE)
    assert float(some.min()) >= 0
    assert torch.equal(some[:, :, 0, 0], torch.ones(16, 3))
    assert torch.equal(some, draw(CONFIG))
    assert not torch.equal(some, draw(CONFIG, 1))
    still = replace(CONFIG, flip=0.0, jitter=0.0, zoom=0.0, shift=0.0)
    halved = torch.nn.functional.avg_pool2d(picture[None], 2)
    torch.testing.assert_close(draw(still), halved.expand(16, -1, -1, -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(draw(replace(still, flip=1.0))[0], halved[0].flip(-1), atol=1e-5, rtol=0)


def test_the_embedded_prior_learns_too() -> None:
    bundle = load_bundle()
    prior, codec, schedule = load_prior(bundle), load_codec(bundle), load_noise_schedule(bundle)
    assert isinstance(prior, WordTeacher)
    _, perception, framing = toy_perception("house")
    # A word for something else has much to learn.
    wording = word_it(replace(perception, caption="a car"))
    state = initial_state(wording, prior, generator=torch.Generator().manual_seed(0))
    config = InversionConfig(steps=5, batch=2, rate=1.0, norm_pull=0.0, templates=("{caption}",), held_out=4)
    seen = learning_picture(perception.subject, codec, framing)
    learnt = invert(seen, state, prior, codec, schedule, config, report=silent)
    assert learnt.metrics["inversion_gain"] > 0.02


@pytest.mark.parametrize(
    "wrong",
    [{"steps": -1}, {"rate": 0.0}, {"batch": 0}, {"flip": 1.5}, {"templates": ()}, {"templates": ("a photo",)},
     {"templates": ("a {word} {other}",)}, {"timesteps": (0.9, 0.1)}],
)  # fmt: skip
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        InversionConfig(**wrong)
