from __future__ import annotations

import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from lift3d_ray.errors import ConfigError, DatabaseError
from lift3d_ray.service.database import Database
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
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'lift3d-ray\[postgres\]'"):
        Database("postgresql://localhost/x")
