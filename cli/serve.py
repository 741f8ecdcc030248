"""``lift3d-ray serve``: the HTTP service, on this machine or on a cluster, until interrupted."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import Quality

if TYPE_CHECKING:
    from lift3d_ray.deployments.service import ServiceArgs

LOOPBACK = "127.0.0.1"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; others than 127.0.0.1 need API keys.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Folder for pictures and assets, path or URI; made if missing.")
    ] = "lift3d-service",
    database: Annotated[
        str, typer.Option("--database", metavar="FILE|URL", help="SQLite file or postgresql://...; a file in DIR.")
    ] = "",
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    bundle: options.BundleName = "toybox",
    models: options.MixedModels = None,
    weights: options.Weights = None,
    optimizers: Annotated[
        int | None, typer.Option(min=1, help="Lifts at once; by default what the machine or cluster carries.")
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Ask for API keys on this machine too (see `lift3d-ray keys`).")
    ] = False,
    max_queued: Annotated[int, typer.Option(min=1, help="Lifts that may wait; then the service says 429.")] = 1000,
    keep_days: Annotated[float, typer.Option(min=0.01, help="Days for which ended lifts are kept.")] = 30.0,
    fetch_from: Annotated[
        list[str] | None,
        typer.Option("--fetch-from", metavar="URI", help="Object storage to read pictures from: s3://pictures/."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to join ('auto' finds one); else a new one.")
    ] = None,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that running lifts get to end at Ctrl-C.")] = 30.0,
    quiet: options.Quiet = False,
) -> None:
    """Serve lifts over HTTP: models, API and page on one port, until interrupted."""
    from lift3d_ray.deployments.service import ServiceArgs

    open_to_all = not is_loopback(host)
    args = ServiceArgs(
        out=out,
        database=database,
        recipe=recipe,
        quality=quality,
        bundle=options.chosen_bundle(bundle, models, weights),
        optimizers=optimizers,
        access="keys" if keys or open_to_all else "loopback",
        max_queued=max_queued,
        keep_days=keep_days,
        fetch_prefixes=fetch_from or [],
    )
    if args.access == "keys":
        check_keys(args, host)
    check_port(host, port)
    run(args, host=host, port=port, address=address, drain_s=drain, quiet=quiet)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    from lift3d_ray.deployments.api.guard import is_loopback

    return is_loopback(host)


def check_keys(args: ServiceArgs, host: str) -> None:
    """Refuse to ask for keys where there is none: nobody could come in, or somebody thought that nobody need ask.

    Raises:
        ConfigError: there is no key that is valid.
    """
    from lift3d_ray.deployments.places import database_of
    from lift3d_ray.service.database import Database
    from lift3d_ray.service.keys import KeyRing

    database = Database(database_of(args.out, args.database))
    try:
        known = KeyRing(database).keys()
        if all(key.revoked_at is not None for key in known):
            where = f"--database {args.database}" if args.database else f"--out {args.out}"
            raise ConfigError(
                f"there is no API key, and {host} needs one: make one with `lift3d-ray keys create NAME {where}`, "
                f"or listen on {LOOPBACK}, which asks for none"
            )
    finally:
        database.close()


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, before anything is started.

    Raises:
        ConfigError: it is.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"cannot listen on {host} port {port} ({error.strerror}): choose another with --host or --port"
            raise ConfigError(message) from error


def run(args: ServiceArgs, *, host: str, port: int, address: str | None, drain_s: float, quiet: bool) -> None:
    """Start everything, wait for the end, and end in order."""
    from lift3d_ray.deployments.running import served

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with asked_to_end() as asked:
        say("starting the models and the API ...")
        with served(args, host=host, port=port, address=address) as service:
            who = (
                "asks for no key, and answers this machine only"
                if args.access == "loopback"
                else "asks everybody for an API key"
            )
            say(f"{url}/ is ready; it {who}. The API: {url}/docs. Ctrl-C ends.")
            while not asked.wait(1.0):
                service.check()
            say(f"ending: {drain_s:g} s at most for the lifts that run; what is left goes on at the next start")
            service.drain(drain_s)
    say("ended")


@contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the second Ctrl-C raises ``KeyboardInterrupt``."""
    asked = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
