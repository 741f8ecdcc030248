"""Every class of toy, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lift3d_ray.toybox.classes import animals, food, furniture, outdoors, things, vehicles
from lift3d_ray.toybox.parts import Dice, Part


@dataclass(frozen=True)
class ToyClass:
    """One class of toy.

    Attributes:
        name: the word that captions use.
        build: makes the parts of one toy from a throw of dice.
        two_coloured: whether a plain toy shows its second colour somewhere.
    """

    name: str
    build: Callable[[Dice], list[Part]]
    two_coloured: bool = True


_ONE_COLOURED = frozenset({"apple", "tree", "donut", "pear"})

_TRAIN = (
    furniture.chair, furniture.table, furniture.bed, furniture.sofa, furniture.lamp,
    furniture.bench,
    vehicles.car, vehicles.truck, vehicles.train, vehicles.boat, vehicles.plane, vehicles.rocket,
    animals.cat, animals.pig, animals.bear, animals.duck, animals.fish, animals.snowman,
    animals.robot, animals.penguin, animals.turtle,
    food.apple, food.cake, food.cupcake, food.icecream, food.donut, food.mushroom, food.pumpkin,
    food.carrot,
    things.mug, things.bottle, things.teapot, things.hat, things.drum, things.barrel, things.gift,
    things.umbrella, things.guitar, things.ball, things.candle, things.bell,
    outdoors.house, outdoors.castle, outdoors.tree, outdoors.cactus, outdoors.lighthouse,
    outdoors.flower,
)
_HELD_OUT = (vehicles.bus, animals.dog, food.pear)


def _named(builders: tuple[Callable[[Dice], list[Part]], ...]) -> dict[str, ToyClass]:
    return {
        build.__name__: ToyClass(build.__name__, build, build.__name__ not in _ONE_COLOURED)
        for build in builders
    }


ALL_CLASSES: dict[str, ToyClass] = _named(_TRAIN + _HELD_OUT)
TRAIN_CLASSES: tuple[str, ...] = tuple(_named(_TRAIN))
HELD_OUT_CLASSES: tuple[str, ...] = tuple(_named(_HELD_OUT))
CLASS_IDS: dict[str, int] = {name: index for index, name in enumerate(ALL_CLASSES)}
