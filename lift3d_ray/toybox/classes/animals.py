"""Animals and other creatures, facing +Z."""

from __future__ import annotations

from lift3d_ray.toybox.parts import Dice, Part, accent, primary, secondary
from lift3d_ray.toybox.primitives import (
    Mesh,
    bead,
    box,
    capsule,
    cone,
    cylinder,
    dome,
    ellipsoid,
    lathe,
    loft,
    oval_section,
    prism,
    sphere,
    torus,
    tube,
)


def _eyes(x: float, y: float, z: float, size: float) -> list[Part]:
    return accent("dark", *[bead(size).move(s * x, y, z) for s in (-1, 1)])


def _pair(mesh: Mesh, x: float, y: float, z: float) -> list[Mesh]:
    placed = mesh.move(x, y, z)
    return [placed, placed.mirror()]


def _four(leg: Mesh, x: float, z: float) -> list[Mesh]:
    return [leg.move(sx * x, 0, sz * z) for sx in (-1, 1) for sz in (-1, 1)]


def cat(dice: Dice) -> list[Part]:
    """A standing cat with pointed ears and its tail up."""
    length, fat = dice.vary(0.5, 0.72), dice.vary(0.27, 0.38)
    leg, head = dice.vary(0.34, 0.52), dice.vary(0.32, 0.44)
    ear, tail = dice.vary(0.24, 0.36), dice.vary(0.5, 0.85)
    back = leg + 0.75 * fat
    body = ellipsoid(fat, 0.95 * fat, length, 14, 9).move(y=back)
    y, z = back + 0.55 * head + 0.16, 0.82 * length
    skull = ellipsoid(1.08 * head, 0.92 * head, 0.9 * head, 14, 9).move(y=y, z=z)
    ears = _pair(cone(0.42 * ear, ear, 6).turn("z", -14), 0.55 * head, y + 0.62 * head, z)
    legs = _four(capsule(0.1, leg + 0.2, 8), 0.62 * fat, 0.6 * length)
    curl = tube([(0, back, -0.85 * length), (0, back + 0.1, -length - 0.2),
                 (0, back + 0.55 * tail, -length - 0.28), (0, back + tail, -length - 0.12)],
                [0.09, 0.08, 0.07, 0.05])
    muzzle = ellipsoid(0.42 * head, 0.3 * head, 0.25 * head, 10, 6).move(
        y=y - 0.28 * head, z=z + 0.78 * head)
    return (
        primary(body, skull) + secondary(*ears, curl, *legs, muzzle)
        + _eyes(0.4 * head, y + 0.18 * head, z + 0.78 * head, 0.075)
        + accent("nose", bead(0.06).move(y=y - 0.12 * head, z=z + 0.98 * head))
    )


def dog(dice: Dice) -> list[Part]:
    """A standing dog with hanging ears and a long snout."""
    length, fat = dice.vary(0.55, 0.78), dice.vary(0.26, 0.36)
    leg, head = dice.vary(0.42, 0.62), dice.vary(0.3, 0.4)
    ear, tail = dice.vary(0.26, 0.38), dice.vary(0.3, 0.5)
    back = leg + 0.75 * fat
    body = ellipsoid(fat, 0.92 * fat, length, 14, 9).move(y=back)
    y, z = back + 0.7 * head + 0.14, 0.9 * length
    neck = capsule(0.17, 0.55, 10).turn("x", 35).move(y=back, z=0.5 * length)
    skull = ellipsoid(0.92 * head, 0.9 * head, 0.95 * head, 14, 9).move(y=y, z=z)
    snout = ellipsoid(0.46 * head, 0.4 * head, 0.62 * head, 12, 7).move(
        y=y - 0.25 * head, z=z + 0.85 * head)
    ears = _pair(ellipsoid(0.08, ear, 0.16, 10, 7).turn("z", 12), 0.95 * head, y - 0.1, z - 0.04)
    legs = _four(capsule(0.105, leg + 0.2, 8), 0.6 * fat, 0.66 * length)
    wag = tube([(0, back + 0.1, -0.85 * length), (0, back + 0.2, -length - 0.1),
                (0, back + 0.2 + tail, -length - 0.25)], [0.08, 0.07, 0.05])
    return (
        primary(body, skull, neck) + secondary(*ears, wag, *legs, snout)
        + _eyes(0.38 * head, y + 0.22 * head, z + 0.82 * head, 0.07)
        + accent("dark", bead(0.085).move(y=y - 0.1 * head, z=z + 1.42 * head))
    )


def pig(dice: Dice) -> list[Part]:
    """A round pig with a flat snout."""
    length, fat = dice.vary(0.62, 0.85), dice.vary(0.45, 0.6)
    leg, head = dice.vary(0.22, 0.36), dice.vary(0.36, 0.48)
    back = leg + 0.8 * fat
    body = ellipsoid(fat, 0.95 * fat, length, 16, 9).move(y=back)
    y, z = back + 0.2, 0.85 * length
    skull = sphere(head, 14, 9).move(y=y, z=z)
    snout = cylinder(0.42 * head, 0.24, segments=12).turn("x", 90).move(y=y - 0.1, z=z + 0.85 * head)
    holes = _pair(bead(0.05), 0.16 * head, y - 0.1, z + 0.85 * head + 0.23)
    ears = _pair(cone(0.16, dice.vary(0.22, 0.32), 6).turn("x", 25).turn("z", -22),
                 0.58 * head, y + 0.66 * head, z)
    legs = _four(cylinder(0.13, leg + 0.25, segments=10), 0.55 * fat, 0.5 * length)
    curl = torus(0.1, 0.035, 10, 6).turn("z", 90).move(y=back + 0.2, z=-length - 0.04)
    return (
        primary(body, skull) + secondary(snout, *ears, *legs, curl)
        + accent("dark", *holes) + _eyes(0.4 * head, y + 0.3 * head, z + 0.82 * head, 0.065)
    )


def bear(dice: Dice) -> list[Part]:
    """A sitting teddy bear."""
    belly, tall = dice.vary(0.42, 0.56), dice.vary(0.5, 0.66)
    head, ear = dice.vary(0.4, 0.52), dice.vary(0.14, 0.21)
    limb, arm = dice.vary(0.15, 0.2), dice.vary(0.45, 0.65)
    body = ellipsoid(belly, tall, 0.88 * belly, 16, 9).move(y=tall)
    y = 1.85 * tall + 0.6 * head
    skull = ellipsoid(1.05 * head, head, 0.95 * head, 16, 9).move(y=y)
    ears = _pair(ellipsoid(ear, ear, 0.6 * ear, 10, 7), 0.78 * head, y + 0.78 * head, 0)
    muzzle = ellipsoid(0.42 * head, 0.34 * head, 0.3 * head, 10, 6).move(
        y=y - 0.25 * head, z=0.86 * head)
    arms = _pair(capsule(limb, arm + 0.3, 10).turn("x", 60).turn("z", 0).turn("y", 25),
                 0.8 * belly, 1.35 * tall, 0.05)
    legs = _pair(capsule(1.15 * limb, arm + 0.35, 10).turn("x", 90).turn("y", 20),
                 0.55 * belly, 1.15 * limb, 0.1)
    patch = ellipsoid(0.6 * belly, 0.6 * tall, 0.2, 12, 7).move(y=0.95 * tall, z=0.76 * belly)
    return (
        primary(body, skull, *arms, *legs) + secondary(*ears, muzzle, patch)
        + _eyes(0.36 * head, y + 0.15 * head, 0.86 * head, 0.065)
        + accent("dark", bead(0.075).move(y=y - 0.14 * head, z=1.13 * head))
    )


def duck(dice: Dice) -> list[Part]:
    """A bath duck."""
    length, fat = dice.vary(0.7, 0.95), dice.vary(0.5, 0.64)
    head, neck = dice.vary(0.34, 0.46), dice.vary(0.28, 0.45)
    shape = ((-1.25, 0.06, 0.95), (-0.95, 0.45, 0.62), (-0.5, 0.86, 0.3), (0.0, 1.0, 0.12),
             (0.5, 0.9, 0.12), (0.8, 0.62, 0.25), (0.98, 0.2, 0.45))
    body = loft([oval_section(w * fat, low * fat - 0.12, (low + 1.35 * w) * fat - 0.12,
                              z * length, 14) for z, w, low in shape])
    y, z = 1.15 * fat + neck, 0.5 * length
    skull = sphere(head, 14, 9).move(y=y, z=z)
    throat = cylinder(0.8 * head, neck + 0.3, 0.62 * head, 12).move(y=0.8 * fat, z=z - 0.05)
    beak = ellipsoid(0.5 * head, 0.15 * head, 0.5 * head, 10, 6).move(
        y=y - 0.15 * head, z=z + 1.12 * head)
    wings = _pair(ellipsoid(0.1, 0.26, 0.5 * length, 12, 7).turn("x", -12),
                  0.93 * fat, 0.72 * fat, -0.1 * length)
    return (
        primary(body, skull, throat) + secondary(*wings) + accent("flame", beak)
        + _eyes(0.52 * head, y + 0.26 * head, z + 0.72 * head, 0.07)
    )


def fish(dice: Dice) -> list[Part]:
    """A fish with a forked tail."""
    length, tall = dice.vary(0.85, 1.15), dice.vary(0.42, 0.64)
    thin, tail = dice.vary(0.24, 0.36), dice.vary(0.36, 0.55)
    shape = ((-1.0, 0.22), (-0.7, 0.5), (-0.3, 0.86), (0.1, 1.0), (0.5, 0.88), (0.82, 0.55),
             (1.0, 0.16))
    body = loft([oval_section(s * thin, -s * tall, s * tall, z * length, 14) for z, s in shape])
    fork = [(0.2, 0.0), (-0.55 * tail, 1.1 * tail), (-0.85 * tail, 1.05 * tail), (-0.42 * tail, 0),
            (-0.85 * tail, -1.05 * tail), (-0.55 * tail, -1.1 * tail)]
    rear = prism(fork, 0.08).turn("y", -90).move(z=-0.98 * length)
    high = dice.vary(0.26, 0.42)
    fin = prism([(-0.5 * length, 0), (0.35 * length, 0), (0.0, high), (-0.45 * length, high)], 0.07)
    top = fin.turn("y", -90).move(y=0.8 * tall)
    low = prism([(-0.25, 0), (0.2, 0), (-0.3, -0.7 * high)], 0.07).turn("y", -90).move(y=-0.85 * tall)
    sides = _pair(ellipsoid(0.04, 0.12, 0.24, 8, 6).turn("y", -35).turn("x", -20),
                  0.98 * thin, -0.15 * tall, 0.15 * length)
    whites = _pair(bead(0.11), 0.64 * thin, 0.2 * tall, 0.68 * length)
    return (
        primary(body) + secondary(rear, top, low, *sides) + accent("white", *whites)
        + _eyes(0.64 * thin + 0.06, 0.2 * tall, 0.68 * length + 0.05, 0.07)
    )


def snowman(dice: Dice) -> list[Part]:
    """A snowman of three balls with a hat, a scarf and a carrot nose."""
    low, middle, head = dice.vary(0.52, 0.68), dice.vary(0.38, 0.48), dice.vary(0.26, 0.35)
    y1 = 0.9 * low
    y2 = y1 + 0.75 * low + 0.6 * middle
    y3 = y2 + 0.75 * middle + 0.68 * head
    balls = [sphere(low).move(y=y1), sphere(middle).move(y=y2), sphere(head, 14, 8).move(y=y3)]
    scarf = torus(0.72 * head, 0.1, 16, 8).move(y=y3 - 0.78 * head)
    tall = dice.vary(0.24, 0.42)
    brim = cylinder(1.15 * head, 0.06).move(y=y3 + 0.72 * head)
    crown = cylinder(0.74 * head, tall).move(y=y3 + 0.72 * head)
    nose = cone(0.075, dice.vary(0.24, 0.38), 8).turn("x", 90).move(y=y3, z=0.92 * head)
    buttons = [bead(0.055).move(y=y2 + k * 0.4 * middle, z=middle * 0.98 - 0.18 * abs(k) * middle)
               for k in (-1, 0, 1)]
    return (
        primary(*balls) + secondary(scarf, brim, crown) + accent("carrot", nose)
        + accent("dark", *buttons) + _eyes(0.36 * head, y3 + 0.26 * head, 0.88 * head, 0.05)
    )


def robot(dice: Dice) -> list[Part]:
    """A box robot with an aerial."""
    width, tall, deep = dice.vary(0.62, 0.9), dice.vary(0.68, 0.95), dice.vary(0.4, 0.6)
    head, leg = dice.vary(0.4, 0.6), dice.vary(0.45, 0.75)
    limb, arm = dice.vary(0.16, 0.24), dice.vary(0.6, 0.9)
    body = box(width, tall, deep, bevel=0.05).move(y=leg)
    skull = box(1.15 * head, 0.85 * head, head, bevel=0.05).move(y=leg + tall + 0.08)
    neck = cylinder(0.12, 0.14, segments=8).move(y=leg + tall - 0.02)
    legs = _pair(box(limb, leg + 0.02, limb * 1.2), 0.26 * width, 0, 0)
    feet = _pair(box(1.3 * limb, 0.12, 0.42, bevel=0.03), 0.26 * width, 0, 0.06)
    arms = _pair(box(limb, arm, limb, bevel=0.03), width / 2 + 0.6 * limb, leg + tall - arm, 0)
    y = leg + tall + 0.08
    rod = cylinder(0.025, 0.22, segments=6).move(y=y + 0.84 * head)
    ball = bead(0.075).move(y=y + 0.84 * head + 0.24)
    panel = box(0.6 * width, 0.36 * tall, 0.06).move(y=leg + 0.42 * tall, z=deep / 2)
    knobs = [bead(0.05).move(k * 0.16 * width, leg + 0.6 * tall, deep / 2 + 0.05) for k in (-1, 0, 1)]
    mouth = box(0.6 * head, 0.07, 0.05).move(y=y + 0.18 * head, z=head / 2)
    eyes = [bead(0.1).move(s * 0.3 * head, y + 0.52 * head, head / 2) for s in (-1, 1)]
    return (
        primary(body, *arms) + secondary(skull, *legs, neck) + accent("metal", panel, rod)
        + accent("dark", mouth, *feet) + accent("cherry", ball, *knobs) + accent("light", *eyes)
    )


def penguin(dice: Dice) -> list[Part]:
    """A penguin with a pale belly."""
    fat, tall = dice.vary(0.4, 0.54), dice.vary(1.1, 1.45)
    head, wing = dice.vary(0.3, 0.4), dice.vary(0.55, 0.8)
    body = lathe([(0, 0.06), (0.7 * fat, 0.08), (fat, 0.3 * tall), (0.95 * fat, 0.5 * tall),
                  (0.62 * fat, 0.82 * tall), (0, tall)], 16, crease=70)
    skull = sphere(head, 14, 8).move(y=0.98 * tall)
    belly = ellipsoid(0.78 * fat, 0.36 * tall, 0.4 * fat, 14, 8).move(y=0.42 * tall, z=0.66 * fat)
    flippers = _pair(ellipsoid(0.07, 0.5 * wing, 0.17, 10, 7).move(y=-0.42 * wing).turn("z", 22),
                     0.78 * fat, 0.78 * tall, 0)
    beak = cone(0.1, 0.28, 8).turn("x", 95).move(y=0.98 * tall, z=0.88 * head)
    feet = _pair(ellipsoid(0.17, 0.07, 0.26, 10, 6), 0.42 * fat, 0.07, 0.5 * fat)
    return (
        primary(body, skull) + secondary(*flippers) + accent("white", belly)
        + accent("flame", beak, *feet)
        + _eyes(0.4 * head, 0.98 * tall + 0.28 * head, 0.82 * head, 0.06)
    )


def turtle(dice: Dice) -> list[Part]:
    """A turtle under its shell."""
    wide, long, tall = dice.vary(0.62, 0.8), dice.vary(0.75, 1.0), dice.vary(0.4, 0.62)
    head, leg = dice.vary(0.2, 0.29), dice.vary(0.15, 0.21)
    shell = dome(1.0, tall, 18, 6).stretch(wide, 1.0, long).move(y=0.24)
    rim = lathe([(0, 0), (1.02, 0), (1.08, 0.05), (1.02, 0.1), (0, 0.1)], 18)
    rim = rim.stretch(wide, 1.0, long).move(y=0.2)
    skull = ellipsoid(head, 0.95 * head, 1.15 * head, 12, 8).move(y=0.42, z=long + 0.3)
    neck = capsule(0.6 * head, 0.55, 8).turn("x", 75).move(y=0.26, z=long - 0.15)
    legs = _four(ellipsoid(leg, 0.18, 1.25 * leg, 10, 6).move(y=0.18), 0.78 * wide, 0.66 * long)
    tail = cone(0.09, 0.3, 6).turn("x", -100).move(y=0.26, z=-long)
    return (
        primary(shell) + secondary(rim, skull, neck, tail, *legs)
        + _eyes(0.5 * head, 0.42 + 0.4 * head, long + 0.3 + 0.8 * head, 0.05)
    )


