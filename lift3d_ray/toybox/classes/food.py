"""Things to eat, and mushrooms."""

from __future__ import annotations

import math

from lift3d_ray.toybox.parts import Dice, Part, accent, primary, secondary
from lift3d_ray.toybox.primitives import (
    bead,
    cone,
    cylinder,
    ellipsoid,
    lathe,
    sphere,
    torus,
    tube,
)


def _leaf(length: float) -> list[Part]:
    blade = ellipsoid(0.4 * length, 0.03, 0.7 * length, 10, 6).move(z=0.6 * length)
    return accent("leaf", blade.turn("x", -20).turn("y", 70))


def _lifted(parts: list[Part], y: float) -> list[Part]:
    return [Part(part.mesh.move(y=y), part.paint) for part in parts]


def apple(dice: Dice) -> list[Part]:
    """An apple with a stalk and a leaf."""
    wide, tall = dice.vary(0.8, 1.05), dice.vary(0.75, 1.0)
    dent, stalk = dice.vary(0.1, 0.22), dice.vary(0.25, 0.42)
    slant = dice.vary(0.05, 0.2)
    curve = []
    for k in range(13):
        angle = -math.pi / 2 + math.pi * k / 12
        radius = wide * math.cos(angle) * (1 + slant * math.sin(angle))
        pinch = math.exp(-((radius / (0.35 * wide)) ** 2))
        lift = math.sin(angle) * (1 - pinch * dent * (2.0 if angle > 0 else 0.6))
        curve.append((radius, tall * lift))
    curve[0], curve[-1] = (0.0, curve[0][1]), (0.0, curve[-1][1])
    top = curve[-1][1]
    stem = tube([(0, top - 0.05, 0), (0.02, top + 0.6 * stalk, 0), (0.1, top + stalk, 0)],
                [0.05, 0.04, 0.055], 6)
    return (
        primary(lathe(curve, 20, crease=90)) + accent("bark", stem)
        + _lifted(_leaf(dice.vary(0.3, 0.45)), top + 0.6 * stalk)
    )


def pear(dice: Dice) -> list[Part]:
    """A pear with a stalk."""
    wide, neck = dice.vary(0.6, 0.8), dice.vary(0.3, 0.42)
    tall = dice.vary(1.3, 1.8)
    curve = [(0, 0.06), (0.4 * wide, 0.0), (0.82 * wide, 0.12 * tall), (wide, 0.3 * tall),
             (0.9 * wide, 0.47 * tall), (0.5 * (wide + neck) * 0.86, 0.62 * tall),
             (neck, 0.78 * tall), (0.8 * neck, 0.92 * tall), (0.4 * neck, tall), (0, tall - 0.02)]
    stem = tube([(0, tall - 0.05, 0), (0.02, tall + 0.15, 0), (0.09, tall + 0.28, 0)],
                [0.045, 0.04, 0.05], 6)
    return (
        primary(lathe(curve, 18, crease=80)) + accent("bark", stem)
        + _lifted(_leaf(dice.vary(0.26, 0.4)), tall + 0.1)
    )


def cake(dice: Dice) -> list[Part]:
    """A cake of two or three tiers with candles."""
    radius, tall = dice.vary(0.8, 1.0), dice.vary(0.28, 0.42)
    shrink, tiers = dice.vary(0.6, 0.76), dice.choose((2, 2, 3))
    layers, icing, y = [], [], 0.06
    for k in range(tiers):
        size = radius * shrink**k
        layers.append(cylinder(size, tall, segments=20).move(y=y))
        icing.append(torus(size * 0.97, 0.07, 20, 6).move(y=y + tall))
        y += tall
    plate = lathe([(0, 0), (1.1 * radius, 0), (1.2 * radius, 0.06), (0, 0.06)], 20)
    count, ring = dice.whole(1, 5), 0.5 * radius * shrink ** (tiers - 1)
    candles, flames = [], []
    for k in range(count):
        angle = 2 * math.pi * k / count
        x, z = (ring * math.sin(angle), ring * math.cos(angle)) if count > 1 else (0.0, 0.0)
        candles.append(cylinder(0.045, 0.28, segments=6).move(x, y, z))
        flames.append(ellipsoid(0.05, 0.085, 0.05, 6, 5).move(x, y + 0.34, z))
    return (
        primary(*layers) + secondary(*icing) + accent("white", plate)
        + accent("nose", *candles) + accent("flame", *flames)
    )


def cupcake(dice: Dice) -> list[Part]:
    """A cupcake: a paper cup, a swirl of icing and a cherry."""
    low, high = dice.vary(0.42, 0.55), dice.vary(0.62, 0.8)
    cup, icing = dice.vary(0.5, 0.72), dice.vary(0.5, 0.8)
    paper = lathe([(0, 0), (low, 0), (high, cup), (0, cup)], 20)
    swirl, y = [], cup
    for k in range(3):
        size = high * (1.04 - 0.3 * k)
        swirl.append(ellipsoid(size, 0.24 * icing + 0.06, size, 18, 7).move(y=y + 0.06))
        y += 0.34 * icing
    cherry = sphere(dice.vary(0.12, 0.17), 10, 7).move(y=y + 0.12)
    return primary(paper) + secondary(*swirl) + accent("cherry", cherry)


def icecream(dice: Dice) -> list[Part]:
    """An ice cream: one to three balls in a wafer cone."""
    radius, tall = dice.vary(0.4, 0.52), dice.vary(1.0, 1.4)
    balls = dice.choose((1, 2, 2, 3))
    wafer = lathe([(0, 0), (0.05, 0), (0.92 * radius, tall), (0, tall)], 18)
    rim = torus(0.92 * radius, 0.06, 18, 6).move(y=tall)
    scoops, y = [], tall + 0.35 * radius
    for k in range(balls):
        size = radius * (1.0 - 0.1 * k) * dice.vary(0.95, 1.1)
        scoops.append(sphere(size, 16, 9).move(y=y))
        y += 1.15 * size
    return (
        primary(*scoops[::2]) + secondary(rim, *scoops[1::2]) + accent("wafer", wafer)
        + accent("cherry", bead(0.11).move(y=y))
    )


def donut(dice: Dice) -> list[Part]:
    """A ring of dough under icing with sprinkles, lying a little tilted."""
    ring, fat = dice.vary(0.62, 0.78), dice.vary(0.28, 0.4)
    dough = torus(ring, fat, 24, 12)
    icing = lathe([(ring + fat * r, fat * y) for r, y in (
        (1.03, 0.02), (0.93, 0.52), (0.6, 0.86), (0.0, 1.06), (-0.6, 0.86), (-0.93, 0.52),
        (-1.03, 0.02), (0.0, 0.3))], 24, crease=70, loop=True)
    tilt = dice.vary(25, 70)
    return [Part(part.mesh.turn("x", tilt), part.paint)
            for part in primary(icing) + accent("wafer", dough)]


def mushroom(dice: Dice) -> list[Part]:
    """A mushroom with a domed cap."""
    cap, tall = dice.vary(0.75, 1.0), dice.vary(0.45, 0.8)
    stem, height = dice.vary(0.22, 0.36), dice.vary(0.6, 0.95)
    curve = [(0, -0.02), (0.5 * cap, -0.04), (0.94 * cap, 0.0), (cap, 0.08)]
    curve += [(cap * math.cos(a), 0.08 + tall * math.sin(a))
              for a in (0.25, 0.55, 0.85, 1.15, 1.4)]
    hood = lathe([*curve, (0, 0.08 + tall)], 22, crease=50)
    foot = lathe([(0, 0), (1.3 * stem, 0.02), (1.25 * stem, 0.12), (0.9 * stem, 0.5 * height),
                  (stem, height + 0.03), (0, height + 0.03)], 14)
    return primary(hood.move(y=height)) + secondary(foot)


def pumpkin(dice: Dice) -> list[Part]:
    """A ribbed pumpkin with a stalk."""
    wide, tall = dice.vary(0.75, 0.95), dice.vary(0.6, 0.85)
    count = dice.choose((8, 10))
    rib = ellipsoid(0.4 * wide, tall, 0.48 * wide, 10, 9)
    ribs = [rib.move(z=0.52 * wide).turn("y", 360 * k / count) for k in range(count)]
    stalk = tube([(0, 0.8 * tall, 0), (0.02, tall + 0.12, 0), (0.14, tall + 0.3, 0)],
                 [0.14, 0.09, 0.11], 7)
    return primary(*ribs[::2]) + secondary(*ribs[1::2]) + accent("leaf", stalk)


def carrot(dice: Dice) -> list[Part]:
    """A carrot with a tuft of leaves, standing on its tip."""
    fat, tall = dice.vary(0.3, 0.42), dice.vary(1.3, 1.8)
    root = lathe([(0, 0), (0.05, 0.02), (0.5 * fat, 0.42 * tall), (0.92 * fat, 0.82 * tall),
                  (0.98 * fat, 0.92 * tall), (0.6 * fat, tall), (0, tall)], 16, crease=60)
    tuft = [cone(0.1, dice.vary(0.5, 0.7), 6).turn("x", 24 * (k > 0)).turn("y", 72 * k)
            .move(y=tall - 0.05) for k in range(6)]
    return primary(root) + secondary(*tuft)
