"""``lift3d-ray keys``: who may use a service that other machines reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options

if TYPE_CHECKING:
    from lift3d_ray.service.keys import ApiKey, KeyRing

app = typer.Typer(help="Make, list and revoke the API keys of a service.", no_args_is_help=True)

Out = Annotated[str, typer.Option("--out", metavar="DIR", help="The service's folder.")]
DatabaseUrl = Annotated[
    str, typer.Option("--database", metavar="FILE|URL", help="The service's database, where it is not in its folder.")
]

_GIB = 1024**3


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for people.")],
    out: Out = "lift3d-service",
    database: DatabaseUrl = "",
    max_queued: Annotated[int, typer.Option(min=1, help="Lifts that may wait.")] = 100,
    max_running: Annotated[int, typer.Option(min=1, help="Lifts that may run at once.")] = 4,
    max_gib: Annotated[float, typer.Option(min=0.001, help="GiB of pictures and assets.")] = 10.0,
    per_minute: Annotated[int, typer.Option(min=1, help="Requests a minute.")] = 600,
    json: options.AsJson = False,
) -> None:
    """Make a key. It is shown now and never again."""
    from lift3d_ray.service.keys import KeyLimits

    limits = KeyLimits(
        max_queued=max_queued,
        max_running=max_running,
        max_stored_bytes=int(max_gib * _GIB),
        requests_per_minute=per_minute,
    )
    with _ring(out, database) as ring:
        made = ring.create(name, limits)
    if json:
        print(dumps({"id": made.key.id, "key": made.text, "webhook_secret": made.webhook_secret}))
        return
    print(f"key             {made.text}")
    print(f"webhook secret  {made.webhook_secret}")
    print("Keep both: they are not shown again.")


@app.command("list")
def list_keys(out: Out = "lift3d-service", database: DatabaseUrl = "", json: options.AsJson = False) -> None:
    """List the keys, without their secrets."""
    with _ring(out, database) as ring:
        known = ring.keys()
    if json:
        print(dumps([_as_dict(key) for key in known]))
        return
    for key in known:
        state = "valid" if key.revoked_at is None else f"revoked {_day(key.revoked_at)}"
        print(f"{key.id}  {_day(key.created_at)}  {state:18}  {key.name}")
    if not known:
        print("no keys")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `keys list` shows it.")],
    out: Out = "lift3d-service",
    database: DatabaseUrl = "",
) -> None:
    """Let a key open nothing any more."""
    with _ring(out, database) as ring:
        ring.revoke(key_id)
    print(f"{key_id} is revoked")


@contextmanager
def _ring(out: str, address: str) -> Iterator[KeyRing]:
    """The keys of a service, by its folder or its database."""
    from lift3d_ray.deployments.places import database_of
    from lift3d_ray.service.database import Database
    from lift3d_ray.service.keys import KeyRing

    database = Database(database_of(out, address))
    try:
        yield KeyRing(database)
    finally:
        database.close()


def _as_dict(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "created_at": _day(key.created_at),
        "revoked_at": None if key.revoked_at is None else _day(key.revoked_at),
    }


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
