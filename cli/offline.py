"""No connections: what ``--offline`` promises, and how it is kept."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lift3d_ray.errors import ConfigError

HUB_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
"""What the model libraries read before they ask a hub, in this process and its children."""

_WAYS_OUT = frozenset(
    f"socket.{name}" for name in ("connect", "sendto", "sendmsg", "getaddrinfo", "gethostbyname", "gethostbyaddr")
)

_promised = False
_watched = False


@contextmanager
def hubs_switched_off() -> Iterator[None]:
    """Let the model libraries, here and in child processes, ask no hub for the length of the block."""
    before = {name: os.environ.get(name) for name in HUB_SWITCHES}
    os.environ.update(dict.fromkeys(HUB_SWITCHES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def offline() -> Iterator[None]:
    """This process connects to nothing but this machine for the length of the block: whatever tries is stopped.

    What does not go through Python's sockets is not seen; for that, and for child processes, there are the switches.
    """
    global _promised, _watched
    if not _watched:
        # A hook stays as long as the process does, so it asks whether the promise holds.
        sys.addaudithook(_stop)
        _watched = True
    with hubs_switched_off():
        _promised = True
        try:
            yield
        finally:
            _promised = False


def _stop(event: str, arguments: tuple[Any, ...]) -> None:
    if not _promised or event not in _WAYS_OUT:
        return
    if event.startswith("socket.get"):
        host = arguments[0]
    elif arguments[0].family in (socket.AF_INET, socket.AF_INET6) and arguments[1] is not None:
        host = arguments[1][0]
    else:
        return
    if not _is_here(host):
        raise ConfigError(f"--offline promises that nothing is connected to, and something asked for {host}")


def _is_here(host: str | bytes | None) -> bool:
    """Whether a host is this machine, by name or number; no host is."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
