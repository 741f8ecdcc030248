"""Buildings and plants."""

from __future__ import annotations

import math

from lift3d_ray.toybox.parts import Dice, Part, accent, primary, secondary
from lift3d_ray.toybox.primitives import (
    bead,
    box,
    capsule,
    cone,
    cylinder,
    ellipsoid,
    lathe,
    prism,
    sphere,
    tube,
)


def house(dice: Dice) -> list[Part]:
    """A house with a gable roof, a door to the front, windows and a chimney."""
    width, tall, deep = dice.vary(1.0, 1.4), dice.vary(0.75, 1.1), dice.vary(0.95, 1.4)
    roof, eaves = dice.vary(0.45, 0.8), dice.vary(0.08, 0.18)
    walls = box(width, tall, deep)
    half = width / 2
    gable = prism([(-half, tall - 0.01), (half, tall - 0.01), (0, tall + 0.96 * roof)], deep)
    slope = roof / half
    out, thick = half + eaves, 0.12
    drop = tall - eaves * slope
    tiles = []
    for side in (-1, 1):
        strip = [(side * out, drop), (0.0, tall + roof), (0.0, tall + roof + thick * 1.3),
                 (side * (out + 0.04), drop + thick)]
        tiles.append(prism(strip, deep + 2 * eaves))
    chimney = box(0.18, 0.55, 0.18).move(0.25 * width, tall + 0.32 * roof, -0.2 * deep)
    door = box(0.26, 0.48, 0.06).move(dice.vary(-0.2, 0.2), 0, deep / 2)
    high = 0.52 * tall
    panes = [box(0.22, 0.24, 0.05).move(s * 0.33 * width, high, deep / 2) for s in (-1, 1)]
    panes += [box(width + 0.04, 0.26, 0.26).move(0, high, z * deep) for z in (-0.22, 0.22)]
    panes.append(box(0.24, 0.26, 0.05).move(0, high, -deep / 2))
    return (
        primary(walls, gable) + secondary(*tiles) + accent("clay", chimney)
        + accent("bark", door) + accent("glass", *panes)
    )


def castle(dice: Dice) -> list[Part]:
    """A castle tower with battlements, or with a pointed roof."""
    radius, tall = dice.vary(0.42, 0.6), dice.vary(1.1, 1.6)
    crown = 1.18 * radius
    tower = lathe([(0, 0), (1.12 * radius, 0), (radius, 0.3 * tall), (radius, tall),
                   (crown, tall + 0.12), (crown, tall + 0.34), (0, tall + 0.34)], 18)
    top = tall + 0.34
    if dice.chance(0.5):
        peak = dice.vary(0.6, 1.0)
        crest = [cone(1.22 * crown, peak, 18).move(y=top)]
        flag_y = top + peak - 0.06
    else:
        count = 6
        crest = [box(0.26, 0.2, 0.16).move(y=top - 0.02, z=0.86 * crown).turn("y", 360 * k / count)
                 for k in range(count)]
        flag_y = top - 0.02
    pole = cylinder(0.025, 0.55, segments=6).move(y=flag_y)
    flag = prism([(0, 0), (0.34, 0.1), (0, 0.2)], 0.04).move(y=flag_y + 0.33)
    gate = box(0.34, 0.5, 0.12).move(z=1.02 * radius)
    arch = cylinder(0.17, 0.12, segments=12).turn("x", 90).move(y=0.5, z=1.02 * radius - 0.06)
    slits = [box(0.1, 0.26, 0.06).move(y=0.62 * tall, z=radius).turn("y", a)
             for a in (0, 90, 180, 270)]
    return (
        primary(tower) + secondary(*crest) + accent("bark", gate, arch)
        + accent("dark", *slits) + accent("metal", pole) + accent("cherry", flag)
    )


def tree(dice: Dice) -> list[Part]:
    """A tree: either a fir of stacked cones or a trunk with a round crown."""
    trunk, height = dice.vary(0.1, 0.17), dice.vary(0.42, 0.75)
    stem = cylinder(1.2 * trunk, height + 0.5, 0.9 * trunk, 10)
    wide, tall = dice.vary(0.6, 0.85), dice.vary(0.6, 0.85)
    if dice.chance(0.5):
        tiers = dice.choose((2, 3))
        crown = [cone(wide * (1 - 0.22 * k), tall, 16).move(y=height + 0.55 * tall * k)
                 for k in range(tiers)]
    else:
        crown = [sphere(wide, 16, 9).move(y=height + 0.9 * wide)]
        for k in range(3):
            angle = 2 * math.pi * k / 3 + 0.6
            crown.append(sphere(0.62 * wide, 12, 7).move(
                0.6 * wide * math.sin(angle), height + 0.75 * tall, 0.6 * wide * math.cos(angle)))
    return primary(*crown) + accent("bark", stem)


def cactus(dice: Dice) -> list[Part]:
    """A cactus with two arms in a pot."""
    radius, tall = dice.vary(0.2, 0.3), dice.vary(1.0, 1.45)
    pot, deep = dice.vary(0.36, 0.5), dice.vary(0.36, 0.5)
    vessel = lathe([(0, 0), (0.72 * pot, 0), (pot, deep - 0.1), (1.12 * pot, deep - 0.1),
                    (1.12 * pot, deep), (0, deep)], 16)
    soil = cylinder(0.98 * pot, 0.03, segments=14).move(y=deep)
    trunk = capsule(radius, tall, 12).move(y=deep - 0.05)
    arms = []
    for side in (-1, 1):
        bend, rise = deep + dice.vary(0.3, 0.5) * tall, dice.vary(0.28, 0.5)
        reach = radius + dice.vary(0.22, 0.36)
        thin = 0.62 * radius
        arms += [
            tube([(0, bend, 0), (side * 0.7 * reach, bend, 0),
                  (side * 0.95 * reach, bend + 0.09, 0), (side * reach, bend + 0.22, 0)], thin),
            capsule(thin, rise + thin, 10).move(side * reach, bend + 0.12, 0),
        ]
    bloom = ellipsoid(0.12, 0.09, 0.12, 8, 5).move(y=deep + tall - 0.04)
    return (
        primary(trunk, *arms) + secondary(vessel) + accent("soil", soil) + accent("nose", bloom)
    )


def lighthouse(dice: Dice) -> list[Part]:
    """A tapering lighthouse with its lamp room."""
    low, high = dice.vary(0.44, 0.58), dice.vary(0.24, 0.34)
    tall, room = dice.vary(1.4, 1.9), dice.vary(0.26, 0.38)
    tower = lathe([(0, 0), (low, 0), (high, tall), (0, tall)], 20)
    gallery = cylinder(1.4 * high, 0.09, segments=18).move(y=tall)
    lamp = cylinder(0.78 * high, room, segments=14).move(y=tall + 0.08)
    roof = lathe([(0, 0), (1.05 * high, 0), (0.5 * high, 0.18), (0, 0.3)], 16).move(
        y=tall + 0.08 + room)
    rock = lathe([(0, 0), (1.5 * low, 0), (1.35 * low, 0.16), (0, 0.2)], 14)
    door = box(0.22, 0.4, 0.08).move(y=0.15, z=0.93 * low)
    return (
        primary(tower.move(y=0.1)) + secondary(gallery.move(y=0.1), roof.move(y=0.1))
        + accent("light", lamp.move(y=0.1)) + accent("metal", rock) + accent("bark", door)
        + accent("dark", bead(0.05).move(y=tall + 0.54 + room - 0.04))
    )


def flower(dice: Dice) -> list[Part]:
    """A flower in a pot, its face to the front."""
    petal, count = dice.vary(0.26, 0.36), dice.choose((5, 6, 7))
    stem, pot = dice.vary(0.7, 1.1), dice.vary(0.34, 0.46)
    heart = dice.vary(0.2, 0.28)
    vessel = lathe([(0, 0), (0.7 * pot, 0), (pot, 0.45), (0, 0.45)], 16)
    stalk = cylinder(0.05, stem + 0.1, segments=6).move(y=0.4)
    y = 0.45 + stem + heart
    petals = [ellipsoid(petal, petal * 1.1, 0.08, 10, 6).move(y=heart + 0.8 * petal)
              .turn("z", 360 * k / count) for k in range(count)]
    face = [p.turn("x", -15).move(y=y, z=0.06) for p in petals]
    middle = ellipsoid(heart, heart, 0.15, 12, 7).turn("x", -15).move(y=y, z=0.1)
    leaves = [ellipsoid(0.26, 0.05, 0.12, 8, 5).move(x=0.24).turn("z", 30).turn("y", a)
              .move(y=0.5 + 0.3 * stem) for a in (0, 180)]
    return (
        primary(*face) + secondary(vessel) + accent("light", middle)
        + accent("leaf", stalk, *leaves)
    )
