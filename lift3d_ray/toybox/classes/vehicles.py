"""Vehicles; all of them drive, fly or sail towards +Z."""

from __future__ import annotations

from lift3d_ray.toybox.parts import Dice, Part, accent, primary, secondary
from lift3d_ray.toybox.primitives import (
    Mesh,
    bead,
    box,
    cone,
    cylinder,
    ellipsoid,
    lathe,
    loft,
    oval_section,
    prism,
    sphere,
    torus,
    wheel,
)


def _wheels(x: float, places: list[float], radius: float, width: float) -> list[Part]:
    tyres = [wheel(radius, width).move(s * x, radius, z) for s in (-1, 1) for z in places]
    hubs = [wheel(0.5 * radius, width * 1.15, 8).move(s * x, radius, z)
            for s in (-1, 1) for z in places]
    return accent("tyre", *tyres) + accent("metal", *hubs)


def _lamps(x: float, y: float, z: float, size: float) -> list[Part]:
    return accent("light", *[bead(size).move(s * x, y, z) for s in (-1, 1)])


def car(dice: Dice) -> list[Part]:
    """A car with a cabin behind its bonnet."""
    length, width = dice.vary(1.7, 2.3), dice.vary(0.8, 1.05)
    body, cabin = dice.vary(0.3, 0.46), dice.vary(0.3, 0.44)
    radius = dice.vary(0.19, 0.28)
    share, back = dice.vary(0.48, 0.64), dice.vary(0.02, 0.16)
    floor = 0.8 * radius
    hull = box(width, body, length, bevel=0.1).move(y=floor)
    narrow = dice.vary(0.62, 0.8)
    top = box(0.92 * width, cabin, share * length, bevel=0.06, taper=(0.85, narrow))
    top = top.move(y=floor + body * 0.97, z=-back * length)
    glass = [
        box(0.945 * width, 0.62 * cabin, 0.66 * share * length, taper=(0.88, narrow + 0.06)),
        box(0.76 * width, 0.62 * cabin, 1.02 * share * length, taper=(0.9, narrow + 0.05)),
    ]
    windows = [g.move(y=floor + body + 0.12 * cabin, z=-back * length) for g in glass]
    bumpers = [box(0.9 * width, 0.1, 0.1, bevel=0.04).move(0, floor + 0.04, s * length / 2)
               for s in (-1, 1)]
    return (
        primary(hull) + secondary(top) + accent("glass", *windows) + accent("metal", *bumpers)
        + _lamps(0.34 * width, floor + 0.6 * body, length / 2, 0.085)
        + accent("cherry", *[bead(0.06).move(s * 0.36 * width, floor + 0.6 * body, -length / 2)
                             for s in (-1, 1)])
        + _wheels(0.48 * width, [-0.3 * length, 0.3 * length], radius, 0.16)
    )


def truck(dice: Dice) -> list[Part]:
    """A lorry: a cab in front of a box."""
    length, width = dice.vary(2.1, 2.7), dice.vary(0.85, 1.05)
    cab, load = dice.vary(0.75, 0.95), dice.vary(0.8, 1.25)
    radius, front = dice.vary(0.2, 0.28), dice.vary(0.55, 0.75)
    floor = 1.1 * radius
    rear = length - front - 0.08
    chassis = box(0.7 * width, 0.12, length).move(y=floor - 0.08)
    head = box(width, cab, front, bevel=0.07, taper=(0.94, 0.9)).move(
        y=floor, z=(length - front) / 2)
    cargo = box(1.06 * width, load, rear, bevel=0.02).move(y=floor + 0.04, z=-(length - rear) / 2)
    panes = [
        box(0.8 * width, 0.34 * cab, 0.04).move(y=floor + 0.52 * cab, z=length / 2 - 0.03),
        box(1.0 * width, 0.32 * cab, 0.5 * front).move(
            y=floor + 0.53 * cab, z=(length - front) / 2 + 0.05),
    ]
    return (
        primary(cargo) + secondary(head) + accent("dark", chassis) + accent("glass", *panes)
        + _lamps(0.34 * width, floor + 0.2 * cab, length / 2 - 0.02, 0.08)
        + _wheels(0.47 * width, [-0.36 * length, -0.12 * length, 0.34 * length], radius, 0.16)
    )


def bus(dice: Dice) -> list[Part]:
    """A long bus with a row of windows."""
    length, width = dice.vary(2.2, 2.8), dice.vary(0.85, 1.0)
    height, radius = dice.vary(0.85, 1.1), dice.vary(0.18, 0.24)
    floor = 0.8 * radius
    hull = box(width, height, length, bevel=0.09).move(y=floor)
    roof = box(0.9 * width, 0.08, 0.95 * length, bevel=0.03).move(y=floor + height - 0.02)
    count = dice.whole(4, 6)
    gap = 0.92 * length / count
    panes = [box(1.02 * width, 0.32 * height, 0.78 * gap)
             .move(y=floor + 0.52 * height, z=(k - (count - 1) / 2) * gap) for k in range(count)]
    panes.append(box(0.82 * width, 0.42 * height, 1.015 * length).move(y=floor + 0.44 * height))
    return (
        primary(hull) + secondary(roof) + accent("glass", *panes)
        + _lamps(0.36 * width, floor + 0.2 * height, length / 2, 0.075)
        + _wheels(0.46 * width, [-0.3 * length, 0.32 * length], radius, 0.16)
    )


def train(dice: Dice) -> list[Part]:
    """A steam engine."""
    length, radius = dice.vary(1.0, 1.4), dice.vary(0.3, 0.42)
    cab, roof = dice.vary(0.95, 1.25), dice.vary(0.1, 0.16)
    small, chimney = dice.vary(0.2, 0.27), dice.vary(0.3, 0.5)
    floor = 0.28
    middle = floor + 0.1 + radius
    boiler = cylinder(radius, length).turn("x", 90).move(y=middle)
    nose = cylinder(0.85 * radius, 0.06).turn("x", 90).move(y=middle, z=length)
    house = box(2.1 * radius, cab, 0.7).move(y=floor, z=-0.3)
    lid = box(2.5 * radius, roof, 0.9, bevel=0.05).move(y=floor + cab, z=-0.3)
    base = box(1.9 * radius, 0.16, length + 0.8).move(y=floor - 0.02, z=length / 2 - 0.35)
    stack = lathe([(0, 0), (0.1, 0), (0.1, 0.6 * chimney), (0.2, chimney), (0, chimney)], 12)
    pipe = stack.move(y=middle + 0.9 * radius, z=0.78 * length)
    bell = sphere(0.13, 10, 6).move(y=middle + radius, z=0.35 * length)
    panes = [box(2.14 * radius, 0.3 * cab, 0.38).move(y=floor + 0.55 * cab, z=-0.3),
             box(1.4 * radius, 0.26 * cab, 0.74).move(y=floor + 0.6 * cab, z=-0.3)]
    plough = box(1.7 * radius, 0.26, 0.3, taper=(0.9, 0.2)).move(y=0.06, z=length + 0.02)
    places = [-0.4, 0.05 + 0.35 * length, 0.9 * length - 0.05]
    return (
        primary(boiler, house) + secondary(lid, pipe, base)
        + accent("metal", nose, bell) + accent("glass", *panes) + accent("dark", plough)
        + _wheels(0.95 * radius, places, small, 0.12)
    )


def boat(dice: Dice) -> list[Part]:
    """A sailing boat."""
    length, width = dice.vary(1.6, 2.2), dice.vary(0.32, 0.48)
    deep, mast = dice.vary(0.36, 0.56), dice.vary(1.3, 1.9)
    rings = []
    for where, wide, keel in ((-1.0, 0.72, 0.75), (-0.6, 0.95, 1.0), (0.0, 1.0, 1.0),
                              (0.5, 0.72, 0.9), (0.85, 0.28, 0.55), (1.0, 0.04, 0.2)):
        rise = 0.1 * where * where
        ring = oval_section(wide * width, -keel * deep, keel * deep, where * length / 2)
        ring[:, 1] = ring[:, 1].clip(max=0.0) + rise
        rings.append(ring)
    hull = loft(rings)
    pole = cylinder(0.04, mast, segments=8).move(z=0.05 * length)
    sail = dice.vary(0.62, 0.9)
    main = [(0.0, 0.14 * mast), (-0.5 * sail * length, 0.18 * mast), (0.0, 0.96 * mast)]
    jib = [(0.1, 0.16 * mast), (0.42 * length, 0.1 * mast), (0.1, 0.8 * mast)]
    cloths = [prism(main, 0.04).turn("y", -90).move(z=0.02 * length),
              prism(jib, 0.04).turn("y", -90).move(z=0.02 * length)]
    cabin = box(0.9 * width, 0.2, 0.4 * length, bevel=0.04).move(y=0.0, z=-0.15 * length)
    return primary(hull) + secondary(*cloths) + accent("wood", pole) + accent("white", cabin)


def plane(dice: Dice) -> list[Part]:
    """An aeroplane with a propeller."""
    length, fat = dice.vary(1.8, 2.4), dice.vary(0.2, 0.3)
    span, chord = dice.vary(1.9, 2.7), dice.vary(0.38, 0.58)
    shape = ((-1.0, 0.25), (-0.6, 0.6), (-0.1, 1.0), (0.45, 1.0), (0.8, 0.78), (1.0, 0.4))
    body = loft([oval_section(s * fat, -s * fat + (0.5 - 0.5 * z) * 0.12,
                              s * fat + (0.5 - 0.5 * z) * 0.12, z * length / 2)
                 for z, s in shape])
    tip, sweep = dice.vary(0.5, 0.95), dice.vary(0.0, 0.4)
    place = dice.vary(0.05, 0.15) * length
    wing = _wing(span, chord, tip, sweep).move(y=-0.1 * fat, z=place)
    tail = _wing(0.38 * span, 0.5 * chord, tip, sweep * 0.5).move(y=0.14, z=-0.45 * length)
    high = dice.vary(0.36, 0.56)
    fin = prism([(0, 0), (0.5 * chord, 0), (0.1 * chord, high), (-0.2 * chord, high)], 0.06)
    fin = fin.turn("y", -90).move(y=0.14, z=-0.48 * length)
    glass = ellipsoid(0.6 * fat, 0.62 * fat, 0.3 * length * 0.5, 12, 6).move(
        y=0.85 * fat, z=0.22 * length)
    blades = [box(0.5, 0.07, 0.04).move(y=-0.035).turn("z", angle).move(z=length / 2 + 0.06)
              for angle in (20, 110)]
    hub = cone(0.09, 0.16, 8).turn("x", 90).move(z=length / 2)
    return (
        primary(body) + secondary(wing, tail, fin) + accent("glass", glass)
        + accent("dark", hub, *blades)
    )


def _wing(span: float, chord: float, tip: float, sweep: float) -> Mesh:
    half = span / 2
    outline = [(0, chord / 2), (half, chord * tip / 2 - sweep), (half, -chord * tip / 2 - sweep),
               (0, -chord / 2), (-half, -chord * tip / 2 - sweep),
               (-half, chord * tip / 2 - sweep)]
    return prism(outline, 0.07).turn("x", 90)


def rocket(dice: Dice) -> list[Part]:
    """A rocket standing on its fins."""
    radius, body = dice.vary(0.3, 0.46), dice.vary(0.9, 1.5)
    nose, belly = dice.vary(0.5, 0.85), dice.vary(1.0, 1.25)
    hull = lathe([(0, 0.3), (0.8 * radius, 0.3), (belly * radius, 0.3 + 0.4 * body),
                  (radius, 0.3 + body), (0, 0.3 + body)], 18)
    tip = lathe([(0, 0), (radius, 0), (0.72 * radius, 0.45 * nose), (0.36 * radius, 0.8 * nose),
                 (0, nose)], 18).move(y=0.29 + body)
    reach, fin = dice.vary(0.3, 0.5), dice.vary(0.5, 0.8)
    outline = [(0.6 * radius, 0.3), (radius + reach, 0.0), (radius + reach, 0.22),
               (0.95 * radius, 0.3 + fin)]
    count = dice.choose((3, 4))
    fins = [prism(outline, 0.08).turn("y", 45 + k * 360 / count) for k in range(count)]
    ring = torus(0.15, 0.035, 14, 6).turn("x", 90)
    pane = ellipsoid(0.15, 0.15, 0.06, 12, 6)
    y, z = 0.3 + 0.72 * body, radius * (0.28 * belly + 0.76) * 0.99
    jet = lathe([(0, 0.1), (0.62 * radius, 0.1), (0.4 * radius, 0.32), (0, 0.32)], 12)
    return (
        primary(hull) + secondary(tip, *fins) + accent("metal", ring.move(y=y, z=z))
        + accent("glass", pane.move(y=y, z=z)) + accent("dark", jet)
    )
