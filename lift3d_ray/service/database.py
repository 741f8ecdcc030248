"""One database for any number of processes: a SQLite file on one machine, PostgreSQL by URL for a cluster.

Every change is one transaction. On SQLite it takes the write lock at its beginning (``BEGIN IMMEDIATE``), so that
transactions which read before they write never meet a lock that they cannot get; readers see a snapshot and never wait
(write-ahead log). On PostgreSQL rows are locked one by one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from lift3d_ray.errors import ConfigError, DatabaseError
from lift3d_ray.service.jobs import LOCAL_OWNER
from lift3d_ray.service.postgres import message, postgres_engine
from lift3d_ray.service.signing import new_secret
from lift3d_ray.service.tables import GATE, METADATA, OWNERS, SCHEMA_VERSION

UNLIMITED = 2**31 - 1
"""A limit that is none."""

_BUSY_S = 30
_SETUP_LOCK = 0x6C696674  # any number that nobody else takes an advisory lock on: "lift"
_WAL_TRIES = 100
_KIND = "lift3d_kind"
_READS, _WRITES, _WRITES_LIGHTLY = "reads", "writes", "writes lightly"
_POSTGRES_BEGINS = {
    # One state of affairs for all the questions of a transaction, as SQLite has it.
    _READS: "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    _WRITES_LIGHTLY: "SET LOCAL synchronous_commit = off",
}


@dataclass(frozen=True, kw_only=True)
class Work:
    """A transaction.

    Attributes:
        conn: where to send statements.
        now: the time of the transaction, seconds since 1970.
    """

    conn: Connection
    now: float


class Database:
    """A connected database with this release's tables."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        """Connect, and make the tables where there are none.

        Args:
            url: path of a SQLite file, ``sqlite:///path``, or ``postgresql://user:password@host/name``
                (``postgres_engine`` says what may follow it).
            clock: seconds since 1970; by default the database server's own clock, which is one for all machines.

        Raises:
            ConfigError: the URL names no database of these kinds, or its driver is not installed.
            DatabaseError: it cannot be reached, or holds tables of another version.
        """
        self.url = _database_url(url)
        self.name = self.url.render_as_string(hide_password=True)
        self._clock = clock
        self._engine = _engine(self.url)
        self._set_up()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Work]:
        """A transaction that may write: committed at the end, undone by an exception.

        Args:
            durable: outlives a power cut once it is committed. Without, it outlives the death of any process, and
                waits for no disk: for what is soon written again, such as progress.
        """
        with self._transaction(_WRITES if durable else _WRITES_LIGHTLY) as work:
            yield work

    @contextmanager
    def reading(self) -> Iterator[Work]:
        """A transaction that only reads, and sees one state of affairs throughout."""
        with self._transaction(_READS) as work:
            yield work

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Work]:
        try:
            with self._engine.connect().execution_options(**{_KIND: kind}) as conn, conn.begin():
                if not self.is_sqlite and kind in _POSTGRES_BEGINS:
                    conn.exec_driver_sql(_POSTGRES_BEGINS[kind])
                yield Work(conn=conn, now=self._now(conn))
        except sa.exc.DBAPIError as error:
            raise DatabaseError(
                f"the database {self.name} failed: {message(error.orig)}; check that it runs and has space"
            ) from error

    def _now(self, conn: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return time.time()
        return float(conn.execute(sa.select(sa.func.extract("epoch", sa.func.clock_timestamp()))).scalar_one())

    def _set_up(self) -> None:
        """Make the tables, or check that they are this release's. Any number of processes may do so at once."""
        with self.writing() as work:
            if not self.is_sqlite:
                work.conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_SETUP_LOCK)))
            if not sa.inspect(work.conn).has_table(GATE.name):
                METADATA.create_all(work.conn)
                work.conn.execute(GATE.insert().values(id=1, schema_version=SCHEMA_VERSION, tickets=0, closing=False))
                work.conn.execute(OWNERS.insert().values(**_local_owner(work.now)))
            found = work.conn.execute(sa.select(GATE.c.schema_version)).scalar_one()
        if found != SCHEMA_VERSION:
            self.close()
            raise DatabaseError(
                f"the database {self.name} has tables of version {found}, this release needs {SCHEMA_VERSION}; "
                "use the release that made it, or another database"
            )


def _local_owner(now: float) -> dict[str, Any]:
    """The owner of jobs of a service without keys: nothing is limited but the whole queue."""
    return {
        "id": LOCAL_OWNER,
        "name": "this machine",
        "webhook_secret": new_secret(),
        "max_queued": UNLIMITED,
        "max_running": UNLIMITED,
        "max_stored_bytes": 2**62,
        "requests_per_minute": UNLIMITED,
        "tokens": 0.0,
        "tokens_at": now,
        "created_at": now,
        "served_at": 0.0,
    }


def _database_url(url: str) -> URL:
    if "://" not in url:
        url = f"sqlite:///{Path(url).absolute()}"
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise ConfigError(f"not a database address: {error}; give a file, or postgresql://user@host/name") from error
    kind = parsed.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+pg8000")
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise ConfigError(
        f"a database that several processes share is a SQLite file or a PostgreSQL URL, "
        f"got {parsed.render_as_string(hide_password=True)}; give a file, or postgresql://user@host/name"
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    return postgres_engine(url)


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not at the first write
    # Changing the journal does not wait for others who do the same at the same moment.
    for attempt in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if attempt == _WAL_TRIES - 1:
                raise
            time.sleep(0.05)
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(conn: Connection) -> None:
    kind = conn.get_execution_options().get(_KIND, _WRITES)
    # With FULL a commit waits for the disk, and so do those before it that did not wait themselves.
    conn.exec_driver_sql(f"PRAGMA synchronous={'NORMAL' if kind == _WRITES_LIGHTLY else 'FULL'}")
    conn.exec_driver_sql("BEGIN" if kind == _READS else "BEGIN IMMEDIATE")
