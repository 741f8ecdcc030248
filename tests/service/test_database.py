from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lift3d_ray.errors import ConfigError, DatabaseError
from lift3d_ray.service.database import Database, Work
from lift3d_ray.service.jobs import LiftOrder
from lift3d_ray.service.store import JobStore
from lift3d_ray.service.tables import GATE, SCHEMA_VERSION
from tests.service.postgres import fresh_database


def test_a_database_of_another_version_is_refused(url: str) -> None:
    with closing(Database(url)) as database, database.writing() as work:
        work.conn.execute(sa.update(GATE).values(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(DatabaseError, match=rf"tables of version {SCHEMA_VERSION + 1}, this release needs"):
        Database(url)


def test_jobs_outlive_the_connection(url: str) -> None:
    with closing(Database(url)) as database:
        job = JobStore(database).accept(LiftOrder(), picture_digest="0")
    with closing(Database(url)) as database:
        assert JobStore(database).get(job.id) == job


def test_an_exception_undoes_a_transaction(database: Database) -> None:
    def write_half() -> None:
        with database.writing() as work:
            work.conn.execute(sa.update(GATE).values(tickets=99))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half"):
        write_half()
    with database.reading() as work:
        assert work.conn.execute(sa.select(GATE.c.tickets)).scalar_one() == 0


def test_readers_do_not_wait_for_a_writer(url: str) -> None:
    with closing(Database(url)) as database:
        with database.writing() as work:
            work.conn.execute(sa.update(GATE).values(tickets=5))
            started = time.monotonic()
            with database.reading() as other:
                assert other.conn.execute(sa.select(GATE.c.tickets)).scalar_one() == 0
            assert time.monotonic() - started < 5
        with database.reading() as work:
            assert work.conn.execute(sa.select(GATE.c.tickets)).scalar_one() == 5


def test_writers_that_read_first_wait_for_each_other(url: str) -> None:
    # With a lock that is taken only at the first write, SQLite would refuse one of the two at once.
    with closing(Database(url)) as database:

        def count(times: int = 20) -> None:
            for _ in range(times):
                with database.writing() as work:
                    tickets = work.conn.execute(sa.select(GATE.c.tickets).with_for_update()).scalar_one()
                    time.sleep(0.001)
                    work.conn.execute(sa.update(GATE).values(tickets=tickets + 1))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with database.reading() as work:
            assert work.conn.execute(sa.select(GATE.c.tickets)).scalar_one() == 80


def test_what_was_accepted_waits_for_the_disk_and_progress_does_not(url: str) -> None:
    with closing(Database(url)) as database:
        setting = "PRAGMA synchronous" if database.is_sqlite else "SHOW synchronous_commit"
        told = []
        for durable in (True, False, True):
            with database.writing(durable=durable) as work:
                told.append(str(work.conn.exec_driver_sql(setting).scalar_one()))
        assert told == (["2", "1", "2"] if database.is_sqlite else ["on", "off", "on"])


def test_the_clock_is_the_databases_own(url: str) -> None:
    with closing(Database(url)) as database, database.reading() as work:
        assert work.now == pytest.approx(time.time(), abs=60)


def test_a_lost_connection_is_made_anew(postgres: str) -> None:
    with fresh_database(postgres) as url, closing(Database(url)) as database:
        with database.reading() as work:
            mine = work.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with closing(Database(url)) as other, other.writing() as work:
            work.conn.exec_driver_sql(f"SELECT pg_terminate_backend({mine})")
        with database.reading() as work:
            assert work.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != mine


def test_a_reader_sees_one_state_of_affairs(url: str) -> None:
    with closing(Database(url)) as database, database.reading() as reader:
        tickets = sa.select(GATE.c.tickets)
        before = reader.conn.execute(tickets).scalar_one()
        with database.writing() as writer:
            writer.conn.execute(sa.update(GATE).values(tickets=7))
        assert reader.conn.execute(tickets).scalar_one() == before == 0


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "postgresql", "x://", "://"])
def test_addresses_of_no_shared_database_are_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if "://" not in url:
        Database(url).close()  # a file's name
        assert (tmp_path / url).is_file()
        return
    with pytest.raises(ConfigError, match="give a file"):
        Database(url)


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as refused:
        Database(f"postgresql://user:hunter2@/none?host={tmp_path}")
    assert "hunter2" not in str(refused.value)
    assert "user:***@" in str(refused.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="unable to open"):
        Database(str(tmp_path / "none" / "jobs.db"))


def test_the_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(ConfigError, match=r"pip install 'lift3d-ray\[postgres\]'"):
        Database("postgresql://localhost/x")


class Broken:
    """A socket's file that cannot be read any more."""

    def __init__(self, file: Any, error: OSError) -> None:
        self._file, self._error, self.asked = file, error, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, _: int) -> bytes:
        self.asked = True
        raise self._error


def broken(work: Work, error: OSError) -> Broken:
    connection: Any = work.conn.connection.dbapi_connection
    connection._sock = file = Broken(connection._sock, error)
    return file


def pid(work: Work) -> int:
    return int(work.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


@pytest.mark.parametrize("loss", [ConnectionResetError("reset"), TimeoutError("timed out")])
def test_a_broken_socket_is_a_failure_of_the_database_and_is_not_used_again(
    postgres: str, loss: OSError
) -> None:
    with fresh_database(postgres) as url, closing(Database(url)) as database:

        def read_broken() -> None:
            with database.reading() as work:
                pids.append(pid(work))
                broken(work, loss)
                pid(work)

        pids: list[int] = []
        with pytest.raises(DatabaseError, match=str(loss)):
            read_broken()
        with database.reading() as work:
            assert pid(work) not in pids


def test_a_socket_that_broke_while_nobody_used_it_is_made_anew(postgres: str) -> None:
    with fresh_database(postgres) as url, closing(Database(url)) as database:
        with database.reading() as work:
            before = pid(work)
            connection: Any = work.conn.connection.dbapi_connection
        connection._sock = file = Broken(connection._sock, ConnectionResetError("reset"))
        with database.reading() as work:
            assert pid(work) != before
        assert file.asked


def test_half_a_question_does_not_shift_the_answers(postgres: str) -> None:
    # The text cannot be sent as UTF-8, which shows when the first half of the question is on its way.
    with fresh_database(postgres) as url, closing(Database(url)) as database:

        def ask_half() -> None:
            with database.writing() as work:
                work.conn.execute(sa.select(sa.literal("\ud800")))

        with pytest.raises(UnicodeEncodeError):
            ask_half()
        for number in range(3):
            with database.reading() as work:
                assert work.conn.execute(sa.select(sa.literal(number))).scalar_one() == number


def test_postgresqls_own_words_are_told(postgres: str) -> None:
    with fresh_database(postgres) as url, closing(Database(url)) as database:

        def ask_nonsense() -> None:
            with database.reading() as work:
                work.conn.exec_driver_sql("SELECT nothing_of_this_name")

        with pytest.raises(DatabaseError, match=r'failed: column "nothing_of_this_name" does not exist; check'):
            ask_nonsense()


def test_a_silent_statement_ends_before_the_socket_does(postgres: str) -> None:
    with fresh_database(postgres) as url, closing(Database(url)) as database, database.reading() as work:
        names = ("statement_timeout", "lock_timeout")
        assert [work.conn.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names] == ["30s", "30s"]
        connection: Any = work.conn.connection.dbapi_connection
        assert connection._usock.gettimeout() == 40


@pytest.mark.parametrize("kind", ["postgresql", "postgresql+asyncpg"])
def test_a_socket_is_named_by_its_folder_or_itself(postgres: str, kind: str) -> None:
    for query in (f"host={postgres}", f"unix_sock={postgres}/.s.PGSQL.5432&application_name=tests"):
        with closing(Database(f"{kind}://lift3d@/postgres?{query}")) as database, database.reading() as work:
            assert work.conn.dialect.driver == "pg8000"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sslmode=sometimes", "sslmode is one of"),
        ("sslrootcert=/none", "goes with sslmode=verify-full"),
        ("sslmode=verify-full&sslrootcert=/none", "no file of certificates"),
        ("connect_timeout=3", "connect_timeout= of a PostgreSQL address is not known"),
        ("host=a&host=b", "host= of a PostgreSQL address is not known; known are, once"),
    ],
)
def test_what_may_not_follow_an_address_is_told(query: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Database(f"postgresql://user@localhost/x?{query}")


def test_a_password_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    # A server that asks every caller for a password, as PostgreSQL does by default on a network.
    asks = struct.pack("!cii", b"R", 23, 10) + b"SCRAM-SHA-256\0\0"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=ask, args=(listener, asks))
        thread.start()
        with pytest.raises(DatabaseError, match="it asks for a password, and its address has none"):
            Database(f"postgresql://user@127.0.0.1:{listener.getsockname()[1]}/x?sslmode=disable")
        thread.join(10)


def ask(listener: socket.socket, question: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(question)
        connection.recv(4096)
