"""``submit --server``: pictures by the folder, lifted by a service somewhere else."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lift3d_ray.errors import ConfigError

if TYPE_CHECKING:
    from lift3d_ray.client import LiftClient, RemoteLift

LOOK_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class RemoteOrder:
    """What is asked of the server for every picture.

    Attributes:
        recipe: name of the recipe.
        quality: of it.
        settings: numbers of it to exchange.
        seed: of the lifts.
        selection: what to lift of each picture, as ``--select`` says it.
        best_of: seeds to lift under.
    """

    recipe: str
    quality: str
    settings: tuple[str, ...]
    seed: int
    selection: str
    best_of: int

    def request_name(self, picture: bytes) -> str:
        """The same for the same picture and order, so that the same command asks for nothing twice."""
        said = json.dumps([vars(self), hashlib.sha256(picture).hexdigest()], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:40]


@dataclass(frozen=True, kw_only=True)
class RemoteRow:
    """What became of one picture.

    Attributes:
        name: of the picture.
        lift: as the server last told it; None where it took nothing in.
        message: why there is no asset, "" where there is one.
        folder: where its files are, or None.
    """

    name: str
    lift: RemoteLift | None
    message: str = ""
    folder: Path | None = None


def submit_to(
    client: LiftClient, pictures: Sequence[tuple[str, Path]], out: Path, order: RemoteOrder, say: Callable[[str], None]
) -> list[RemoteRow]:
    """Have pictures lifted by a server, and save what they become.

    Args:
        client: of the server.
        pictures: name and path of each.
        out: a folder is made in it for every lift.
        order: what is asked for.
        say: told a line for every end.
    """
    from lift3d_ray.client import ServerError

    rows: list[RemoteRow] = []
    open_lifts: list[tuple[str, RemoteLift]] = []
    for name, path in pictures:
        try:
            open_lifts.append((name, _ask(client, path, name, order)))
        except (ServerError, OSError) as error:
            rows.append(RemoteRow(name=name, lift=None, message=str(error)))
            say(_line(rows[-1]))
    while open_lifts:
        still = []
        for name, lift in open_lifts:
            now = client.get(lift.id)
            if not now.ended:
                still.append((name, now))
                continue
            rows.append(_settle(client, name, now, out))
            say(_line(rows[-1]))
        open_lifts = still
        if open_lifts:
            time.sleep(LOOK_EVERY_S)
    return rows


def _ask(client: LiftClient, path: Path, name: str, order: RemoteOrder) -> RemoteLift:
    picture = path.read_bytes()
    return client.submit(
        picture,
        name=name,
        recipe=order.recipe,
        quality=order.quality,
        settings=order.settings,
        seed=order.seed,
        selection=order.selection,
        best_of=order.best_of,
        idempotency_key=order.request_name(picture),
    )


def _settle(client: LiftClient, name: str, lift: RemoteLift, out: Path) -> RemoteRow:
    """Save what a lift left, or say why it left nothing."""
    if lift.status != "succeeded":
        error = lift.error or {"code": lift.status, "message": "it was canceled"}
        return RemoteRow(name=name, lift=lift, message=f"[{error['code']}]  {error['message']}")
    folder = out / f"{Path(name).stem}-{lift.id[:12]}"
    client.download(lift, folder)
    return RemoteRow(name=name, lift=lift, folder=folder)


def _line(row: RemoteRow) -> str:
    return f"  failed  {row.name}  {row.message}" if row.folder is None else f"  lifted  {row.name}  {row.folder}"


def local_pictures(inputs: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Name and path of every picture of the inputs that is a file of this machine.

    Raises:
        ConfigError: an input is something else.
        InputError: the inputs cannot be listed.
    """
    from lift3d_ray.batch.inputs import list_inputs

    for unit in list_inputs(inputs).units:
        if unit.column or "://" in unit.address:
            raise ConfigError(f"{unit.source} is no picture file of this machine: --server takes those alone")
        yield unit.name, Path(unit.path)
