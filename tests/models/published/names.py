"""Tables of published parameters, written short: names that differ in a number and agree in their shape share a line.

``blocks.{0-3,7}.weight: 8x4`` stands for five tensors of that shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product

Shapes = Mapping[str, tuple[int, ...]]
_Parts = tuple[frozenset[str], ...]


def collapsed(shapes: Shapes) -> dict[str, str]:
    """The table of some parameters, in the order of their names."""
    rows: dict[tuple[_Parts, tuple[int, ...]], None] = {
        (tuple(frozenset({part}) for part in name.split(".")), shape): None for name, shape in shapes.items()
    }
    longest = max((len(parts) for parts, _ in rows), default=0)
    for place in range(longest):
        rows = _merged(rows, place)
    return dict(sorted((".".join(map(_short, parts)), "x".join(map(str, shape))) for parts, shape in rows))


def expanded(table: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """The parameters of a table."""
    return {
        ".".join(name): tuple(int(side) for side in shape.split("x") if side)
        for line, shape in table.items()
        for name in product(*map(_long, _split(line)))
    }


def _merged(
    rows: Iterable[tuple[_Parts, tuple[int, ...]]], place: int
) -> dict[tuple[_Parts, tuple[int, ...]], None]:
    """Rows that differ in the numbers of this place alone become one."""
    groups: dict[tuple[_Parts, _Parts, tuple[int, ...], bool], frozenset[str]] = {}
    for parts, shape in rows:
        here = parts[place] if place < len(parts) else frozenset()
        numbered = bool(here) and all(part.isdigit() for part in here)
        key = (parts[:place], parts[place + 1 :] if numbered else parts[place:], shape, numbered)
        groups[key] = groups.get(key, frozenset()) | (here if numbered else frozenset())
    return {
        ((*before, here, *after) if numbered else (*before, *after), shape): None
        for (before, after, shape, numbered), here in groups.items()
    }


def _short(part: frozenset[str]) -> str:
    if len(part) == 1:
        return next(iter(part))
    runs: list[list[int]] = []
    for number in sorted(map(int, part)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "{" + ",".join(f"{low}-{high}" if high > low else f"{low}" for low, high in runs) + "}"


def _split(line: str) -> list[str]:
    return re.findall(r"\{[^}]*\}|[^.]+", line)


def _long(part: str) -> list[str]:
    if not part.startswith("{"):
        return [part]
    runs = [run.split("-") for run in part[1:-1].split(",")]
    return [str(number) for run in runs for number in range(int(run[0]), int(run[-1]) + 1)]
