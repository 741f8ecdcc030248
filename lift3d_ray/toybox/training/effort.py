"""How much is made and how long it is learnt from, by the machine that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lift3d_ray.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RoleEffort:
    """What one role is given.

    Attributes:
        steps: optimiser steps.
        batch_size: pictures or latents a step.
        learning_rate: AdamW's peak rate.
    """

    steps: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a whole bundle is given.

    Attributes:
        named_toys: toys seen from all sides that are what they are called.
        shape_toys: toys seen from all sides that need not be.
        solid_toys: toys with the solids behind their pictures.
        scenes: composites.
        roles: by stage of ``train.STAGES``.
    """

    named_toys: int
    shape_toys: int
    solid_toys: int
    scenes: int
    roles: Mapping[str, RoleEffort]


def _roles(**numbers: tuple[int, int, float]) -> Mapping[str, RoleEffort]:
    return MappingProxyType(
        {name: RoleEffort(steps=n, batch_size=b, learning_rate=rate) for name, (n, b, rate) in numbers.items()}
    )


EFFORTS: Mapping[str, Effort] = MappingProxyType(
    {
        # About six hours on two cores.
        "cores": Effort(
            named_toys=12_000,
            shape_toys=4_000,
            solid_toys=20_000,
            scenes=12_000,
            roles=_roles(
                vae=(20_000, 16, 1.5e-3),
                vae_on=(20_000, 16, 1e-3),
                captioner=(4_000, 64, 1.5e-3),
                clip=(1_500, 96, 1e-3),
                view_unet=(5_000, 64, 8e-4),
                unet=(4_000, 64, 8e-4),
                controlnet=(1_200, 48, 8e-4),
                segmenter=(3_000, 16, 1.5e-3),
                depth=(4_500, 32, 1e-3),
                pose=(3_000, 64, 1e-3),
                coarse=(6_000, 32, 1.5e-3),
                point_cloud=(8_000, 48, 1.5e-3),
            ),
        ),
        # Sized for half an hour of one H100 and sixteen cores, several stages side by side, by the rates seen there:
        # some twenty steps a second each, bound by the processes that draw and launch, with the GPU nearly empty.
        "gpu": Effort(
            named_toys=12_000,
            shape_toys=24_000,
            solid_toys=170_000,
            scenes=8_000,
            roles=_roles(
                vae=(10_000, 64, 1.5e-3),
                vae_on=(10_000, 64, 1e-3),
                captioner=(10_000, 128, 1.5e-3),
                clip=(2_000, 192, 1e-3),
                view_unet=(14_000, 256, 1e-3),
                unet=(8_000, 256, 1e-3),
                controlnet=(3_000, 192, 8e-4),
                segmenter=(10_000, 48, 1.5e-3),
                depth=(28_000, 128, 1e-3),
                pose=(17_000, 128, 1e-3),
                coarse=(25_000, 128, 1.5e-3),
                point_cloud=(40_000, 512, 1.5e-3),
            ),
        ),
    }
)


def effort_of(name: str) -> Effort:
    """The effort of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in EFFORTS:
        raise ConfigError(f"unknown effort {name!r}: choose among {', '.join(EFFORTS)}")
    return EFFORTS[name]
