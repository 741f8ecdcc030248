"""Household things and toys."""

from __future__ import annotations

import math

from lift3d_ray.toybox.parts import Dice, Part, accent, primary, secondary
from lift3d_ray.toybox.primitives import (
    arc,
    bead,
    box,
    cone,
    cylinder,
    dome,
    ellipsoid,
    lathe,
    prism,
    sphere,
    torus,
    tube,
)


def mug(dice: Dice) -> list[Part]:
    """A mug with one handle, on its right."""
    radius, tall = dice.vary(0.5, 0.72), dice.vary(0.9, 1.35)
    wall, flare = dice.vary(0.07, 0.12), dice.vary(0.85, 1.1)
    foot = radius / flare
    inner = foot - wall
    cup = lathe([(0, 0), (foot, 0), (radius, tall), (radius - wall, tall), (inner, 0.14),
                 (0, 0.14)], 24)
    reach, grip = dice.vary(0.28, 0.46), dice.vary(0.26, 0.4)
    bow = arc((0.9 * radius, 0.52 * tall), (reach, grip * tall), -100, 100, 9)
    handle = tube(bow, dice.vary(0.065, 0.1))
    return primary(cup) + secondary(handle)


def bottle(dice: Dice) -> list[Part]:
    """A bottle with a cap."""
    radius, body = dice.vary(0.34, 0.5), dice.vary(0.85, 1.3)
    neck, long, slope = dice.vary(0.12, 0.18), dice.vary(0.25, 0.5), dice.vary(0.2, 0.4)
    glass = lathe([(0, 0), (0.94 * radius, 0), (radius, 0.06), (radius, body),
                   (0.8 * radius, body + 0.5 * slope), (neck, body + slope),
                   (neck, body + slope + long), (0, body + slope + long)], 20)
    cap = cylinder(1.35 * neck, 0.16, segments=14).move(y=body + slope + long - 0.05)
    return primary(glass) + secondary(cap)


def teapot(dice: Dice) -> list[Part]:
    """A teapot, its spout on its left and its handle on its right."""
    wide, tall = dice.vary(0.68, 0.88), dice.vary(0.55, 0.75)
    pot = lathe([(0, 0), (0.6 * wide, 0), (0.92 * wide, 0.4 * tall), (wide, 0.85 * tall),
                 (0.9 * wide, 1.3 * tall), (0.6 * wide, 1.65 * tall), (0, 1.7 * tall)], 20,
                crease=50)
    lid = dome(0.56 * wide, 0.2, 16, 4).move(y=1.64 * tall)
    knob = bead(dice.vary(0.09, 0.14)).move(y=1.64 * tall + 0.27)
    reach = dice.vary(0.4, 0.62)
    spout = tube([(-0.75 * wide, 0.55 * tall, 0), (-wide - 0.4 * reach, 0.8 * tall, 0),
                  (-wide - 0.7 * reach, 1.3 * tall, 0), (-wide - reach, 1.65 * tall, 0)],
                 [0.2, 0.15, 0.1, 0.09])
    bow = arc((0.88 * wide, 0.9 * tall), (dice.vary(0.36, 0.52), 0.6 * tall), -95, 95, 9)
    return primary(pot) + secondary(lid, knob, spout, tube(bow, 0.08))


def hat(dice: Dice) -> list[Part]:
    """A hat with a brim and a ribbon."""
    brim, crown = dice.vary(0.85, 1.1), dice.vary(0.46, 0.6)
    tall, narrow = dice.vary(0.5, 0.95), dice.vary(0.75, 1.0)
    top = narrow * crown
    felt = lathe([(0, 0.02), (crown, 0.0), (brim, 0.07), (brim, 0.12), (crown, 0.1),
                  (top, 0.1 + tall), (0.75 * top, 0.16 + tall), (0, 0.14 + tall)], 24)
    slim = crown - (crown - top) * 0.25
    ribbon = lathe([(0, 0.1), (crown + 0.03, 0.1), (slim + 0.03, 0.1 + 0.25 * tall),
                    (0, 0.1 + 0.25 * tall)], 24)
    return primary(felt) + secondary(ribbon)


def drum(dice: Dice) -> list[Part]:
    """A drum with two sticks across it."""
    radius, tall = dice.vary(0.65, 0.85), dice.vary(0.6, 1.0)
    shell = cylinder(radius, tall, segments=22)
    hoops = [torus(radius, 0.075, 22, 6).move(y=y) for y in (0.03, tall - 0.02)]
    skin = cylinder(0.94 * radius, 0.05, segments=20).move(y=tall)
    angle = dice.vary(15, 40)
    stick = cylinder(0.045, 1.1, segments=6).move(y=-0.55).turn("z", 90)
    sticks = [stick.turn("y", s * angle).move(y=tall + 0.1 + 0.03 * s) for s in (-1, 1)]
    return (
        primary(shell) + secondary(*hoops) + accent("cream", skin) + accent("wood", *sticks)
    )


def barrel(dice: Dice) -> list[Part]:
    """A barrel with iron hoops."""
    end, belly, tall = dice.vary(0.46, 0.58), dice.vary(0.62, 0.78), dice.vary(1.2, 1.7)

    def radius(where: float) -> float:
        return end + (belly - end) * (1 - (2 * where - 1) ** 2)

    curve = [(radius(k / 8), tall * k / 8) for k in range(9)]
    staves = lathe([(0, 0), *curve, (0, tall)], 20)
    hoops = [lathe([(0, 0), (radius(w) + 0.03, 0), (radius(w + 0.08) + 0.03, 0.08 * tall),
                    (0, 0.08 * tall)], 20).move(y=w * tall) for w in (0.06, 0.26, 0.66, 0.86)]
    return primary(staves) + secondary(*hoops)


def gift(dice: Dice) -> list[Part]:
    """A wrapped box with a bow."""
    width, tall, deep = dice.vary(0.9, 1.3), dice.vary(0.65, 1.2), dice.vary(0.9, 1.3)
    band = dice.vary(0.14, 0.22)
    parcel = box(width, tall, deep)
    lid = box(1.06 * width, 0.2 * tall, 1.06 * deep).move(y=0.8 * tall)
    bands = [box(band, tall + 0.03, 1.1 * deep), box(1.1 * width, tall + 0.03, band)]
    loop = torus(0.16, 0.055, 12, 6).turn("x", 90).stretch(1.3, 1.0, 1.3)
    bows = [loop.move(x=s * 0.2, y=0.06).turn("z", s * 20).move(y=tall + 0.12) for s in (-1, 1)]
    return primary(parcel, lid) + secondary(*bands, *bows, bead(0.1).move(y=tall + 0.1))


def umbrella(dice: Dice) -> list[Part]:
    """An open umbrella with a crooked handle."""
    wide, tall, long = dice.vary(0.85, 1.05), dice.vary(0.35, 0.55), dice.vary(1.3, 1.7)
    angles = [0.18 * math.pi * k / 2 for k in range(6)]
    outside = [(wide * math.cos(a), tall * math.sin(a)) for a in angles[:-1]]
    inside = [(0.93 * r, 0.86 * y - 0.02) for r, y in outside]
    cloth = lathe([(0, 0.82 * tall), *reversed(inside), *outside, (0, tall)], 16, crease=30)
    crook = arc((0.14, 0.12), (0.14, 0.14), 0, -180, 7)
    hook = crook[::-1].tolist()
    shaft = tube([(0, 0.5 + long, 0), (0, 0.12, 0)], 0.04, 6)
    tip = cone(0.05, 0.2, 6).move(y=0.42 + long)
    return (
        primary(cloth.move(y=0.45 + long - tall)) + secondary(tube(hook, 0.06, 6))
        + accent("metal", shaft, tip)
    )


def guitar(dice: Dice) -> list[Part]:
    """A guitar standing upright, its strings to the front."""
    low, high = dice.vary(0.5, 0.64), dice.vary(0.36, 0.48)
    waist, deep, neck = dice.vary(0.26, 0.36), dice.vary(0.18, 0.28), dice.vary(0.8, 1.1)
    right = [(0.0, 0.0), (0.5 * low, 0.03), (0.88 * low, 0.17), (low, 0.38), (0.84 * low, 0.58),
             (waist, 0.76), (waist * 1.02, 0.86), (0.94 * high, 1.0), (high, 1.14),
             (0.86 * high, 1.3), (0.5 * high, 1.4), (0.0, 1.42)]
    outline = right + [(-x, y) for x, y in reversed(right[1:-1])]
    body = prism(outline, deep, smooth=True)
    hole = cylinder(0.17, 0.03, segments=14).turn("x", 90).move(y=0.86, z=deep / 2)
    bridge = box(0.4, 0.07, 0.06).move(y=0.36, z=deep / 2)
    board = box(0.15, neck + 0.4, 0.09).move(y=1.05, z=deep / 2)
    head = box(0.26, 0.3, 0.09, taper=(0.8, 1)).move(y=1.4 + neck, z=deep / 2)
    pegs = [bead(0.05).move(s * 0.15, 1.5 + neck + 0.12 * k, deep / 2)
            for s in (-1, 1) for k in (0, 1)]
    return (
        primary(body) + secondary(board, head) + accent("dark", hole, bridge)
        + accent("metal", *pegs)
    )


def ball(dice: Dice) -> list[Part]:
    """A ball with a button at either pole and a belt."""
    radius = 1.0
    belt, button = dice.vary(0.1, 0.22), dice.vary(0.2, 0.4)
    angle = belt / radius
    band = lathe([(0, -math.sin(angle)), (1.02 * math.cos(angle), -math.sin(angle)),
                  (1.03, 0), (1.02 * math.cos(angle), math.sin(angle)), (0, math.sin(angle))], 24)
    cap = ellipsoid(button, 0.1, button, 12, 6)
    tilt = dice.vary(-30, 30)
    pieces = primary(sphere(radius, 24, 14)) + secondary(
        band, cap.move(y=0.96), cap.move(y=-0.96))
    return [Part(part.mesh.turn("z", tilt), part.paint) for part in pieces]


def candle(dice: Dice) -> list[Part]:
    """A burning candle on a dish."""
    radius, tall = dice.vary(0.2, 0.34), dice.vary(0.8, 1.3)
    dish = dice.vary(0.5, 0.75)
    plate = lathe([(0, 0), (0.7 * dish, 0), (dish, 0.14), (0.94 * dish, 0.16),
                   (0.66 * dish, 0.07), (0, 0.07)], 20)
    grip = torus(0.16, 0.045, 12, 6).turn("x", 90).move(x=dish + 0.1, y=0.12)
    wax = cylinder(radius, tall, 0.94 * radius, 18).move(y=0.06)
    wick = cylinder(0.025, 0.1, segments=6).move(y=0.06 + tall)
    flame = lathe([(0, 0), (0.08, 0.06), (0.11, 0.15), (0.06, 0.29), (0, 0.4)], 10, crease=60)
    return (
        primary(wax) + secondary(plate, grip) + accent("dark", wick)
        + accent("flame", flame.move(y=0.12 + tall))
    )


def bell(dice: Dice) -> list[Part]:
    """A hand bell."""
    wide, tall, grip = dice.vary(0.62, 0.8), dice.vary(0.75, 1.05), dice.vary(0.4, 0.7)
    cup = lathe([(0, 0.12), (0.9 * wide, 0.0), (wide, 0.0), (wide, 0.07), (0.74 * wide, 0.3 * tall),
                 (0.58 * wide, 0.65 * tall), (0.46 * wide, 0.88 * tall), (0.2 * wide, tall),
                 (0, tall)], 22)
    handle = lathe([(0, 0), (0.1, 0), (0.13, 0.5 * grip), (0.09, 0.8 * grip), (0.16, grip),
                    (0.09, 1.15 * grip), (0, 1.18 * grip)], 12, crease=60).move(y=tall - 0.03)
    return primary(cup) + secondary(handle) + accent("metal", bead(0.13).move(y=0.0))
