"""The command line written down, so that no change of it goes unnoticed.

``python -m tests.cli.surface`` writes the file anew after a deliberate change.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from lift3d_ray.cli.main import command

RECORD = Path(__file__).with_name("surface.txt")


def surface() -> str:
    """Every command with its arguments and options, one a line."""
    return "\n".join(_lines("lift3d-ray", command())) + "\n"


def _lines(name: str, part: TyperCommand | TyperGroup) -> Iterator[str]:
    yield name
    for parameter in part.params:
        if isinstance(parameter, TyperArgument | TyperOption):
            yield f"    {_parameter(parameter)}"
    if isinstance(part, TyperGroup):
        for child in sorted(part.commands):
            below = part.commands[child]
            assert isinstance(below, TyperCommand | TyperGroup)
            yield from _lines(f"{name} {child}", below)


def _parameter(parameter: TyperArgument | TyperOption) -> str:
    if isinstance(parameter, TyperArgument):
        words = [parameter.metavar or parameter.name.upper()]
    else:
        words = [", ".join([*parameter.opts, *parameter.secondary_opts])]
    if not (isinstance(parameter, TyperOption) and parameter.is_flag):
        words.append(parameter.bare_type())
    if parameter.required:
        words.append("required")
    elif parameter.default is not None and parameter.default is not False:
        default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
        words.append(f"= {default}")
    return "  ".join(words)


if __name__ == "__main__":
    RECORD.write_text(surface(), encoding="utf-8")
