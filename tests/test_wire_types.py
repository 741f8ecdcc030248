"""The values that cross processes: frozen, keyword-only, resolvable, and the same after a journey."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import typing
from types import UnionType
from typing import Any

import numpy as np
import pytest

from lift3d_ray import cameras, types


def dataclasses_of(module: Any) -> list[type]:
    own = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__]
    return [cls for cls in own if dataclasses.is_dataclass(cls)]


WIRE = dataclasses_of(types) + dataclasses_of(cameras)


def float32(*shape: int) -> types.Float32:
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def uint8(*shape: int) -> types.UInt8:
    return np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape)


def samples() -> dict[type, Any]:
    """One filled value of every wire type."""
    crop = types.CropMap(x0_px=-1.5, y0_px=2.0, side_px=30.0, size_px=8)
    subject = types.Subject(rgb_HWC=uint8(8, 8, 3), alpha_HW=float32(8, 8), crop=crop, score=0.9)
    perception = types.Perception(subject=subject, caption="a red mug", disparity_HW=float32(8, 8))
    framing = cameras.Framing(focal_scale=1.2, shift_x=0.1)
    pose = types.ReferencePose(elevation_deg=20.0, framing=framing, confidence=0.5)
    faces = np.arange(6, dtype=np.int32).reshape(2, 3)
    mesh = types.Mesh(vertices_N3=float32(6, 3), faces_F3=faces, normals_N3=float32(6, 3), colors_N3=float32(6, 3))
    textured = types.TexturedMesh(
        vertices_N3=float32(6, 3),
        faces_F3=faces,
        normals_N3=float32(6, 3),
        uv_N2=float32(6, 2),
        texture_SSC=uint8(4, 4, 3),
    )
    points = types.PointCloud(xyz_N3=float32(5, 3), rgb_N3=float32(5, 3), normals_N3=float32(5, 3))
    reference = types.ViewReference(latents_CHW=float32(4, 2, 2), image_tokens_TD=float32(4, 6))
    view = reference.towards(float32(1), float32(1))
    token = types.LearnedToken(vectors_TD=float32(2, 3))
    blend = types.PromptBlend(prompts=("a mug, side view",), share_B=float32(1))
    candidate = types.Candidate(seed=3, fit_db=20.0, likeness=0.9, words=0.3, janus=0.5, score=2.0, kept=True)
    values: list[Any] = [
        types.Photo(rgb_HWC=uint8(4, 5, 3), alpha_HW=float32(4, 5), digest="ab", name="mug.png"),
        types.SegmentQuery(rgb_HWC=uint8(4, 5, 3), points_xy_px=((1.0, 2.0),), labels=(True,)),
        types.MaskProposal(mask_HW=np.eye(4, dtype=np.bool_), score=0.5),
        crop,
        subject,
        reference,
        view,
        types.CoarseShape(filled_SSD=float32(2, 2, 3), back_rgb_SSC=float32(2, 2, 3), depth_reach=1.3),
        types.ColoredPoints(xyz_N3=float32(5, 3), rgb_N3=float32(5, 3), faces_photo=False),
        types.NoiseQuery(
            noisy_latents_BCHW=float32(1, 4, 2, 2),
            timesteps_B=np.array([7]),
            guidance_scale=2.0,
            prompts=(f"a {token.word}",),
            negative_prompts=("",),
            view=view,
            disparity_B1HW=float32(1, 1, 8, 8),
            learned=(token,),
            blend=blend,
        ),
        token,
        blend,
        types.DenoisingQuery(
            latents_BCHW=float32(1, 4, 2, 2),
            noise_BCHW=float32(1, 4, 2, 2),
            timesteps_B=np.array([7]),
            prompts=(f"a {token.word}",),
            learned=(token,),
        ),
        types.DenoisingGradient(losses_B=float32(1), gradients_TD=(float32(2, 3),)),
        types.NoisePrediction(noise_BCHW=float32(1, 4, 2, 2), batch_size=3, seconds=0.1),
        framing,
        pose,
        perception,
        mesh,
        textured,
        points,
        types.Candidate(seed=3, fit_db=25.0, likeness=0.9, words=0.6, janus=0.7, score=99.0, kept=True),
        types.Asset(
            mesh=mesh,
            textured=textured,
            points=points,
            turntable_VHWC=uint8(2, 4, 8, 3),
            preview_HWC=uint8(4, 8, 3),
            perception=perception,
            pose=pose,
            seed=3,
            metrics={"psnr": 30.0},
            candidates=(candidate,),
        ),
        candidate,
        types.Progress(stage="optimize", step=1, steps=2, loss=0.5),
    ]
    return {type(value): value for value in values}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays by content and dtype."""
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)


def test_every_wire_type_has_a_sample() -> None:
    assert set(samples()) == set(WIRE)


@pytest.mark.parametrize("cls", WIRE, ids=lambda cls: cls.__name__)
class TestWireType:
    def test_is_frozen_and_keyword_only(self, cls: type) -> None:
        value = samples()[cls]
        field = dataclasses.fields(value)[0]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
        assert all(field.kw_only for field in dataclasses.fields(value))

    def test_hints_resolve_and_hold_only_plain_data(self, cls: type) -> None:
        allowed = (str, int, float, bool, type(None), np.ndarray, tuple, dict, *WIRE)
        for name, hint in typing.get_type_hints(cls).items():
            union = typing.get_origin(hint) in (typing.Union, UnionType)
            for part in typing.get_args(hint) if union else (hint,):
                kind = typing.get_origin(part) or part
                assert kind in allowed, f"{cls.__name__}.{name} holds a {kind}"

    def test_survives_the_journey(self, cls: type) -> None:
        value = samples()[cls]
        assert same(value, pickle.loads(pickle.dumps(value)))


class TestLearnedToken:
    def test_is_named_by_its_content_on_both_sides_of_the_journey(self) -> None:
        token = types.LearnedToken(vectors_TD=float32(2, 3))
        assert types.LEARNED_WORD.fullmatch(token.word)
        assert pickle.loads(pickle.dumps(token)).word == token.word
        for other in (float32(3, 2), float32(2, 3) + 1):
            assert types.LearnedToken(vectors_TD=other).word != token.word

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros(3, np.float32),
            np.zeros((0, 3), np.float32),
            np.zeros((2, 3)),
            np.full((2, 3), np.nan, np.float32),
        ],
    )
    def test_what_is_no_embedding_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="learned token"):
            types.LearnedToken(vectors_TD=wrong)


class TestDenoisingQuery:
    def query(self, **changes: Any) -> types.DenoisingQuery:
        query: types.DenoisingQuery = dataclasses.replace(samples()[types.DenoisingQuery], **changes)
        return query

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"noise_BCHW": float32(1, 4, 2, 3)}, "both"),
            ({"timesteps_B": np.array([1, 2])}, "timesteps"),
            ({"prompts": ("a mug",)}, "no prompt names"),
        ],
    )
    def test_rows_that_do_not_agree_are_refused(self, changes: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            self.query(**changes)
