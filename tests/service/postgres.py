"""A real PostgreSQL for tests, from the system's packages, in a folder of its own and on no network port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pg8000
import pytest

_START_S = 60


def _program(name: str) -> str:
    """Path of a PostgreSQL program; Debian keeps them out of PATH."""
    found = shutil.which(name)
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if found is None and not debian:
        pytest.skip(f"PostgreSQL is not installed here ({name} was not found): apt-get install postgresql")
    return found or str(debian[-1])


def _user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: whom to run it as instead."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres here to run it as")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def server() -> Iterator[str]:
    """A running server; yields its socket's folder, which connection strings name as the host."""
    initdb, postgres, user = _program("initdb"), _program("postgres"), _user()
    root = Path(tempfile.mkdtemp(prefix="lift3d-postgres-"))
    try:
        if user:
            os.chown(root, user["user"], user["group"])
        data, log = root / "data", (root / "log").open("wb")
        subprocess.run(
            [initdb, "--pgdata", str(data), "--username", "lift3d", "--auth", "trust", "--no-sync", "--encoding=UTF8"],
            check=True, capture_output=True, cwd=root, **user,
        )  # fmt: skip
        options = [f"unix_socket_directories={root}", "listen_addresses=", "fsync=off", "max_connections=100"]
        command = [postgres, "-D", str(data), *(part for option in options for part in ("-c", option))]
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log, **user)
        try:
            _wait(root, process)
            yield str(root)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
            log.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _wait(root: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            _admin(str(root)).close()
            return
        except pg8000.Error as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {(root / 'log').read_text()}") from error
            time.sleep(0.1)


@contextmanager
def fresh_database(host: str) -> Iterator[str]:
    """The server's one database, empty; yields its URL. Emptying it is ten times as fast as making another."""
    with closing(_admin(host)) as admin:
        admin.autocommit = True
        admin.cursor().execute("DROP SCHEMA public CASCADE")
        admin.cursor().execute("CREATE SCHEMA public")
    yield f"postgresql://lift3d@/postgres?host={host}"


def _admin(host: str) -> Any:
    return pg8000.connect(user="lift3d", database="postgres", unix_sock=f"{host}/.s.PGSQL.5432")
