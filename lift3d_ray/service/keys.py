"""API keys: who may use the service, and how much of it.

A key is ``lift3d_<id>_<secret>``: the id finds its row, the secret is 256 random bits. Kept is the SHA-256 of the
secret alone. A slow, salted hash, as for passwords, would add nothing: nobody guesses 256 random bits, however fast the
hash is, and it would cost every request its time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from lift3d_ray.errors import ConfigError, NotAllowed, NotHere, TooMuch
from lift3d_ray.service.database import Database, Work
from lift3d_ray.service.jobs import LOCAL_OWNER
from lift3d_ray.service.signing import new_secret
from lift3d_ray.service.tables import OWNERS

_GIB = 1024**3
_KEY = re.compile(r"lift3d_([0-9a-f]{12})_([0-9a-f]{64})")
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True)
class KeyLimits:
    """What one key may have.

    Attributes:
        max_queued: jobs waiting.
        max_running: jobs running.
        max_stored_bytes: bytes of pictures and results.
        requests_per_minute: requests of any kind; as many may come at once after a quiet minute.
    """

    max_queued: int = 100
    max_running: int = 4
    max_stored_bytes: int = 10 * _GIB
    requests_per_minute: int = 600

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 1 <= value < 2**31 and not (name == "max_stored_bytes" and 1 <= value < 2**62):
                raise ConfigError(f"{name} must be a positive number, got {value}")


DEFAULT_LIMITS = KeyLimits()


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key, without its secret.

    Attributes:
        id: 12 hex digits; the owner of its jobs.
        name: what people call it.
        limits: what it may have.
        created_at: when it was made, seconds since 1970.
        revoked_at: when it was revoked, or None.
    """

    id: str
    name: str
    limits: KeyLimits
    created_at: float
    revoked_at: float | None


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key that was just made; its secrets are shown now and never again.

    Attributes:
        key: the key.
        text: what to send with every request.
        webhook_secret: what webhooks are signed with, ``whsec_`` and base64.
    """

    key: ApiKey
    text: str
    webhook_secret: str


class KeyRing:
    """The keys in a database."""

    def __init__(self, database: Database) -> None:
        """Use a database."""
        self._database = database

    def create(self, name: str, limits: KeyLimits = DEFAULT_LIMITS) -> NewKey:
        """Make a key.

        Args:
            name: what people call it, 1 to 200 letters.
            limits: what it may have.
        """
        if not (0 < len(name) <= 200 and name.isprintable()):
            raise ConfigError(f"a key's name has 1 to 200 printable letters, got {name!r}")
        key_id, secret, webhook_secret = secrets.token_hex(6), secrets.token_hex(32), new_secret()
        with self._database.writing() as work:
            values = {
                "id": key_id,
                "name": name,
                "key_hash": _hashed(secret),
                "webhook_secret": webhook_secret,
                "tokens": float(limits.requests_per_minute),
                "tokens_at": work.now,
                "created_at": work.now,
                "served_at": 0.0,
                **asdict(limits),
            }
            row = work.conn.execute(OWNERS.insert().values(values).returning(OWNERS)).one()
        return NewKey(key=_key_from(row), text=f"lift3d_{key_id}_{secret}", webhook_secret=webhook_secret)

    def keys(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        query = sa.select(OWNERS).where(OWNERS.c.key_hash.is_not(None)).order_by(OWNERS.c.created_at, OWNERS.c.id)
        with self._database.reading() as work:
            return [_key_from(row) for row in work.conn.execute(query)]

    def revoke(self, key_id: str) -> None:
        """Let a key open nothing any more. Its jobs go on; they are deleted in their time.

        Raises:
            NotHere: there is no such key.
        """
        mine = sa.and_(OWNERS.c.id == key_id, OWNERS.c.key_hash.is_not(None))
        with self._database.writing() as work:
            row = work.conn.execute(sa.select(OWNERS).where(mine).with_for_update()).one_or_none()
            if row is None:
                raise NotHere(f"there is no key {key_id!r}; `lift3d-ray keys list` shows them")
            if row.revoked_at is None:
                work.conn.execute(sa.update(OWNERS).where(mine).values(revoked_at=work.now))

    def check(self, text: str | None) -> ApiKey:
        """The key that a request came with. It counts against no rate (``admit_request``).

        Args:
            text: what was sent, or None.

        Raises:
            NotAllowed: nothing was sent, or it is no key, an unknown or a revoked one; all told in the same words.
        """
        match = _KEY.fullmatch(text or "")
        if match is None:
            raise NotAllowed(_REFUSAL)
        query = sa.select(OWNERS).where(OWNERS.c.id == match[1])
        with self._database.reading() as work:
            row = work.conn.execute(query).one_or_none()
        # Compared also where there is nothing to compare to: how long it takes tells nothing.
        known = hmac.compare_digest(_hashed(match[2]), _NOBODY if row is None else row.key_hash or _NOBODY)
        if row is None or not known or row.revoked_at is not None:
            raise NotAllowed(_REFUSAL)
        return _key_from(row)

    def admit_request(self, owner: str = LOCAL_OWNER) -> None:
        """Count a request against its key's rate: a bucket that refills evenly and holds a minute's worth.

        Raises:
            TooMuch: the bucket is empty.
            NotHere: there is no such owner.
        """
        if owner == LOCAL_OWNER:
            return
        with self._database.writing(durable=False) as work:
            query = sa.select(OWNERS).where(OWNERS.c.id == owner).with_for_update()
            row = work.conn.execute(query).one_or_none()
            if row is None:
                raise NotHere(f"there is no key {owner!r}")
            _draw(work, row)

    def webhook_secret(self, owner: str) -> str:
        """What an owner's webhooks are signed with.

        Raises:
            NotHere: there is no such owner.
        """
        with self._database.reading() as work:
            query = sa.select(OWNERS.c.webhook_secret).where(OWNERS.c.id == owner)
            secret = work.conn.execute(query).scalar_one_or_none()
        if secret is None:
            raise NotHere(f"there is no key {owner!r}")
        return str(secret)


_REFUSAL = "this needs a valid API key, sent as `Authorization: Bearer lift3d_...`; ask who runs the service for one"


def _draw(work: Work, row: Row[Any]) -> None:
    """Take one token out of a bucket."""
    size = float(row.requests_per_minute)
    rate = size / 60.0
    tokens = min(size, row.tokens + max(0.0, work.now - row.tokens_at) * rate)
    if tokens < 1.0:
        raise TooMuch(
            f"more than {row.requests_per_minute} requests a minute came with this key; slow down",
            retry_after_s=(1.0 - tokens) / rate,
        )
    work.conn.execute(sa.update(OWNERS).where(OWNERS.c.id == row.id).values(tokens=tokens - 1.0, tokens_at=work.now))


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_from(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        limits=KeyLimits(
            max_queued=row.max_queued,
            max_running=row.max_running,
            max_stored_bytes=row.max_stored_bytes,
            requests_per_minute=row.requests_per_minute,
        ),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
