"""The door: the commands, and what their errors look like to the person who typed them.

Exit status: 0 all went well, 1 something failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from lift3d_ray.cli import edit, evaluate, keys, lift, models, recipes, serve, submit, version, view
from lift3d_ray.cli.libraries import prepare
from lift3d_ray.errors import ConfigError, Lift3DError

FAILED = 1
WRONG_USE = 2


@dataclass
class Session:
    """What the options before the command set.

    Attributes:
        debug: show tracebacks.
    """

    debug: bool = False


app = typer.Typer(
    name="lift3d-ray",
    help="Lift single pictures to 3D assets, one or thousands.",
    epilog="Options may also come from the environment, such as LIFT3D_SUBMIT_QUALITY=draft.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "LIFT3D"},
)
app.command("submit")(submit.submit)
app.command("lift")(lift.lift)
app.command("serve")(serve.serve)
app.command("edit")(edit.edit)
app.command("view")(view.view)
app.command("recipes")(recipes.recipes)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.command("evaluate")(evaluate.evaluate)
app.command("version")(version.version)


@app.callback()
def _before(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    context.ensure_object(Session).debug = debug
    prepare(os.environ)


def command() -> TyperGroup:
    """The whole command line, built."""
    built = get_command(app)
    assert isinstance(built, TyperGroup)
    for part in _parts(built):
        for parameter in part.params:
            if isinstance(parameter, TyperOption):
                # Said once at the end of the first page instead of at every option.
                parameter.show_envvar = False
    return built


def _parts(group: TyperGroup) -> Iterator[TyperCommand | TyperGroup]:
    yield group
    for part in group.commands.values():
        if isinstance(part, TyperGroup):
            yield from _parts(part)
        elif isinstance(part, TyperCommand):
            yield part


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what was typed after the program's name; None reads ``sys.argv``.

    Returns:
        The exit status.
    """
    session = Session()
    try:
        command()(args=arguments, prog_name="lift3d-ray", obj=session)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except Lift3DError as error:
        return _explain(session, str(error), WRONG_USE if isinstance(error, ConfigError) else FAILED)
    except Exception as error:  # noqa: BLE001 - the last door: a stranger gets a sentence instead of a traceback
        kind = type(error).__name__
        hint = "" if session.debug else " This is a defect of lift3d-ray: lift3d-ray --debug ... shows the traceback."
        return _explain(session, f"unexpected {kind}: {error}.{hint}", FAILED)
    return 0


def _explain(session: Session, sentence: str, status: int) -> int:
    if session.debug:
        traceback.print_exc()
    print(f"lift3d-ray: {sentence}", file=sys.stderr)
    return status
