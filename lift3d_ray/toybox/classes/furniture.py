"""Furniture and things that stand in a room."""

from __future__ import annotations

from lift3d_ray.toybox.parts import Dice, Part, accent, primary, secondary
from lift3d_ray.toybox.primitives import Mesh, bead, box, cylinder, lathe, sphere


def _legs(x: float, z: float, height: float, width: float, *, round_legs: bool) -> list[Mesh]:
    leg = cylinder(0.55 * width, height, segments=8) if round_legs else box(width, height, width)
    return [leg.move(sx * x, 0, sz * z) for sx in (-1, 1) for sz in (-1, 1)]


def chair(dice: Dice) -> list[Part]:
    """A chair with a back behind its seat."""
    width, depth = dice.vary(0.75, 1.05), dice.vary(0.75, 1.0)
    leg, back = dice.vary(0.55, 0.95), dice.vary(0.7, 1.25)
    thick, post = dice.vary(0.09, 0.16), dice.vary(0.09, 0.15)
    round_legs = dice.chance(0.5)
    legs = _legs(width / 2 - post / 2, depth / 2 - post / 2, leg, post, round_legs=round_legs)
    seat = box(width, thick, depth, bevel=0.03).move(y=leg)
    if dice.chance(0.5):
        rest = [box(width, back, thick, bevel=0.03)]
    else:
        bars = [box(post, back, post).move(x=s * (width - post) / 2) for s in (-1, 1)]
        rest = [*bars, box(width, 0.42 * back, 0.7 * thick, bevel=0.03).move(y=0.55 * back)]
    rests = [m.move(y=leg + thick, z=(thick - depth) / 2) for m in rest]
    return primary(seat, *rests) + secondary(*legs)


def table(dice: Dice) -> list[Part]:
    """A table, square or round, on four legs or on one foot."""
    height, thick = dice.vary(0.6, 1.1), dice.vary(0.08, 0.16)
    width = dice.vary(1.2, 1.9)
    if dice.chance(0.6):
        depth = width * dice.vary(0.6, 1.0)
        post = dice.vary(0.1, 0.18)
        top = box(width, thick, depth, bevel=0.03)
        legs = _legs(width / 2 - post, depth / 2 - post, height, post,
                     round_legs=dice.chance(0.5))
    else:
        top = lathe([(0, 0), (width / 2, 0), (width / 2, thick), (0, thick)], 24)
        stem = dice.vary(0.07, 0.13)
        legs = [lathe([(0, 0), (0.3 * width, 0), (0.28 * width, 0.06), (stem, 0.14),
                       (stem, height), (0, height)], 14)]
    return primary(top.move(y=height)) + secondary(*legs)


def bed(dice: Dice) -> list[Part]:
    """A bed with a pillow, its foot towards the front."""
    width, length = dice.vary(0.9, 1.5), dice.vary(1.7, 2.2)
    base, mattress, head = dice.vary(0.22, 0.4), dice.vary(0.2, 0.34), dice.vary(0.4, 0.75)
    frame = [
        box(width, base, length).move(y=0.12),
        box(width * 1.04, base + head, 0.14, bevel=0.04).move(y=0.12, z=-length / 2),
        box(width * 1.04, base + 0.3 * head, 0.12, bevel=0.04).move(y=0.12, z=length / 2),
    ]
    feet = _legs(width / 2 - 0.08, length / 2 - 0.05, 0.14, 0.14, round_legs=False)
    cover = box(width * 0.98, mattress, 0.66 * length, bevel=0.08)
    sheet = box(width * 0.95, mattress * 0.9, length * 0.95, bevel=0.06)
    pillow = box(width * 0.7, 0.16, 0.36, bevel=0.07)
    top = 0.12 + base
    return (
        primary(cover.move(y=top, z=0.14 * length))
        + secondary(*frame, *feet)
        + accent("white", sheet.move(y=top),
                 pillow.move(y=top + mattress * 0.86, z=-0.36 * length))
    )


def sofa(dice: Dice) -> list[Part]:
    """A sofa with two arms and two cushions."""
    width, depth = dice.vary(1.5, 2.3), dice.vary(0.75, 1.0)
    seat, arm, back = dice.vary(0.36, 0.5), dice.vary(0.2, 0.34), dice.vary(0.4, 0.62)
    body = [
        box(width, seat, depth, bevel=0.06).move(y=0.1),
        box(width, seat + back, 0.28, bevel=0.1).move(y=0.1, z=-depth / 2),
    ]
    body += [box(arm, seat + 0.45 * back, depth + 0.1, bevel=0.09).move(s * width / 2, 0.1)
             for s in (-1, 1)]
    inside = width - arm
    cushions = [box(0.48 * inside, 0.16, 0.8 * depth, bevel=0.06)
                .move(s * inside / 4, 0.08 + seat, 0.1) for s in (-1, 1)]
    feet = _legs(width / 2 - 0.1, depth / 2 - 0.1, 0.12, 0.12, round_legs=True)
    return primary(*body) + secondary(*cushions) + accent("dark", *feet)


def lamp(dice: Dice) -> list[Part]:
    """A table lamp with a shade."""
    low, high = dice.vary(0.5, 0.75), dice.vary(0.22, 0.42)
    tall, stem = dice.vary(0.5, 0.8), dice.vary(0.6, 1.1)
    foot = dice.vary(0.32, 0.5)
    base = lathe([(0, 0), (foot, 0), (foot, 0.07), (0.3 * foot, 0.16), (0.06, 0.24),
                  (0.06, 0.3 + stem), (0, 0.3 + stem)], 16)
    belly = sphere(dice.vary(0.14, 0.26), 12, 7).move(y=0.3 + 0.25 * stem)
    shade = lathe([(0, 0.1), (low - 0.04, 0), (low, 0), (high, tall), (0, tall)], 24)
    return (
        primary(shade.move(y=0.2 + stem))
        + secondary(base, belly)
        + accent("light", bead(0.12).move(y=0.17 + stem))
    )


def bench(dice: Dice) -> list[Part]:
    """A park bench of planks."""
    width, height = dice.vary(1.6, 2.3), dice.vary(0.42, 0.6)
    back, plank = dice.vary(0.5, 0.75), dice.vary(0.16, 0.22)
    planks = [box(width, 0.07, plank).move(y=height, z=(k - 1) * (plank + 0.05))
              for k in range(3)]
    rear = -1.5 * plank - 0.1
    planks += [box(width, plank, 0.07).move(y=height + 0.12 + k * (back / 2), z=rear)
               for k in range(2)]
    ends = []
    for side in (-1, 1):
        x = side * 0.4 * width
        ends += [
            box(0.1, height, 0.1).move(x, 0, plank + 0.05),
            box(0.1, height + back, 0.1).move(x, 0, rear - 0.08),
            box(0.1, 0.08, 3.2 * plank).move(x, height - 0.08, -0.05),
        ]
    return primary(*planks) + secondary(*ends)
