"""Which addresses the service connects to on somebody's word: public ones, and no others.

A URL from a stranger must not become a request to the machine itself, its neighbours or its cloud's metadata service.
So a URL is read strictly (readers that disagree about one are how such checks are passed by), its name is resolved
once, every address that the name has must be public, and the connection goes to an address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lift3d_ray.errors import FetchRefused

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(#.*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PLAIN = re.compile(r"[\x21-\x7e]*")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PORTS = {"http": 80, "https": 443}
_LONGEST = 2048
_FIRST_FREE_PORT = 1024

# Beyond what ``is_global`` knows: addresses that carry another one inside, which might be anything, and one public
# address that clouds (Azure) answer themselves.
_NEVER = tuple(
    ipaddress.ip_network(net)
    for net in (
        *("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10"),
        *("100::/64", "192.88.99.0/24", "168.63.129.16/32"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a URL points.

    Attributes:
        scheme: ``http`` or ``https``.
        host: name or address, lower case, an IPv6 address without its brackets.
        port: 80, 443, or 1024 and above.
        target: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        """The place as a URL."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def authority(self) -> str:
        """Host and port as of a ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(url: str) -> Place:
    """Read a URL strictly.

    Raises:
        FetchRefused: it is none of http or https, or there is anything odd about it: a name and password, a port that
            belongs to other services, an address that is not public or in an unusual notation, letters outside ASCII.
    """
    shown = repr(url[:200])
    _require(len(url) <= _LONGEST, f"the address is longer than {_LONGEST} letters: {shown}")
    _require(_PLAIN.fullmatch(url) is not None and "\\" not in url, f"{shown} holds letters that a URL has encoded")
    match = _URL.fullmatch(url)
    if match is None:
        raise FetchRefused(f"{shown} is no URL; wanted https://host/path")
    scheme = match["scheme"].lower()
    _require(scheme in _PORTS, f"{shown} has the scheme {scheme!r}; only http and https are fetched")
    _require("@" not in match["authority"], f"{shown} holds a name or password, which is not sent; leave it out")
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None:
        raise FetchRefused(f"{shown} has no plain host; wanted a name or an address, with a port at most")
    port = int(authority["port"] or _PORTS[scheme])
    known = port in _PORTS.values() or _FIRST_FREE_PORT <= port <= 65535
    _require(known, f"{shown} has port {port}; only 80, 443 and those from {_FIRST_FREE_PORT} to 65535 are fetched")
    target = (match["path"] or "/") + (match["query"] or "")
    host = _host(authority["host"], shown)
    place = Place(scheme=scheme, host=host, port=port, target=target)
    if _is_address(host):
        check_addresses(place, [host])
    return place


def _host(text: str, shown: str) -> str:
    """A host's name or address in its one usual notation."""
    if text.startswith("["):
        return str(_address(text[1:-1], shown))
    host = text.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        # 127.1, 0177.0.0.1, 0x7f000001 and 2130706433 are all taken for addresses by resolvers.
        return str(_address(host, shown))
    named = len(labels) > 1 and len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    _require(named, f"{shown} does not name a public host; wanted a full name such as pictures.example.com")
    return host


def _address(text: str, shown: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise FetchRefused(f"{shown} has an address in an unusual notation; write it as 203.0.113.7") from error


def _is_address(host: str) -> bool:
    return ":" in host or _NUMERIC.fullmatch(host.rsplit(".", 1)[-1]) is not None


def check_addresses(place: Place, addresses: Sequence[str]) -> None:
    """Refuse a host unless every address of its name is public.

    Args:
        place: what the addresses are of.
        addresses: what its name resolves to.

    Raises:
        FetchRefused: one of them is private, loopback, link-local, multicast, reserved, or carries another address.
    """
    for address in addresses:
        # The address itself is not told: who asks may not know what a name means inside this network.
        _require(is_public(address), f"{place.host} is not a public address; only those are fetched from or sent to")


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
        return False
    inside = any(parsed.version == net.version and parsed in net for net in _NEVER)
    return parsed.is_global and not (inside or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise FetchRefused(message)
