"""PostgreSQL by pg8000: its addresses as other programs write them, and its ways of failing as those of a database.

pg8000 lets some failures through as they come: errors of sockets, of TLS and of a password that is not there. Here they
become failures of the database. A connection that met one is not used again: it may hold half an answer, which the next
question would get.
"""

from __future__ import annotations

import getpass
import ssl
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, ExceptionContext

from lift3d_ray.errors import ConfigError

_STATEMENT_S = 30
_SILENCE_S = _STATEMENT_S + 10  # the server gives up first, and says so
_SETTINGS = ("application_name", "host", "sslmode", "sslrootcert", "unix_sock")


def postgres_engine(url: URL) -> Engine:
    """An engine for a PostgreSQL address.

    Args:
        url: ``postgresql+pg8000://user:password@host:port/name``. Of what may follow ``?`` these are known:
            ``host=/folder`` of the server's socket, or ``unix_sock=/folder/.s.PGSQL.5432``; ``sslmode`` of
            ``disable``, ``prefer``, ``require`` or ``verify-full``, the last with ``sslrootcert=/file``;
            ``application_name``. Without a user it is who runs this, without a host it is localhost.

    Raises:
        ConfigError: something else follows ``?``, or the driver is not installed.
    """
    arguments = _arguments(url)
    bare = url.set(username=url.username or getpass.getuser(), query={})
    try:
        engine = sa.create_engine(bare, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise ConfigError("PostgreSQL needs its driver: pip install 'lift3d-ray[postgres]'") from error
    sa.event.listen(engine, "do_connect", _connect)
    sa.event.listen(engine, "handle_error", _give_up)

    def check(connection: Any, *_: object) -> None:
        try:
            engine.dialect.do_ping(connection)
        except (engine.dialect.loaded_dbapi.Error, OSError) as error:
            raise sa.exc.InvalidatePoolError from error

    sa.event.listen(engine, "checkout", check)  # SQLAlchemy's own check lets errors of sockets through
    return engine


def message(error: BaseException | None) -> str:
    """What a driver's error says, in one line."""
    told = error.args[0] if error is not None and error.args else error
    if isinstance(told, dict):  # the fields of PostgreSQL's own message, by their letters in its protocol
        told = told.get("M", told)
    reasons = [str(told)]
    if error is not None and isinstance(error.__cause__, OSError) and str(error.__cause__) not in reasons[0]:
        reasons.append(str(error.__cause__))
    return ": ".join(reason.strip().split("\n")[0] for reason in reasons)


def _arguments(url: URL) -> dict[str, Any]:
    """What pg8000 is to be told beside user, password, host, port and name."""
    for name, value in url.query.items():
        if name not in _SETTINGS or not isinstance(value, str):
            raise ConfigError(f"?{name}= of a PostgreSQL address is not known; known are, once: {', '.join(_SETTINGS)}")
    query = {name: str(value) for name, value in url.query.items()}
    arguments: dict[str, Any] = {
        "timeout": _SILENCE_S,
        "startup_params": {"statement_timeout": f"{_STATEMENT_S}s", "lock_timeout": f"{_STATEMENT_S}s"},
    }
    if "application_name" in query:
        arguments["application_name"] = query["application_name"]
    socket = query.get("unix_sock") or _socket(query.get("host", ""), url.port)
    if socket:
        return {**arguments, "unix_sock": socket, "ssl_context": False}
    if "host" in query:
        arguments["host"] = query["host"]
    return {**arguments, "ssl_context": _tls(query)}


def _socket(host: str, port: int | None) -> str:
    """Path of the server's socket in a folder; "" where the host is none."""
    return f"{host}/.s.PGSQL.{port or 5432}" if host.startswith("/") else ""


def _tls(query: dict[str, str]) -> ssl.SSLContext | bool | None:
    """What pg8000 calls the ``sslmode`` of an address."""
    mode, roots = query.get("sslmode", "prefer"), query.get("sslrootcert")
    if mode == "verify-full":
        try:
            return ssl.create_default_context(cafile=roots)
        except OSError as error:
            raise ConfigError(f"sslrootcert={roots} is no file of certificates: {error}") from error
    if roots is not None:
        raise ConfigError(f"sslrootcert goes with sslmode=verify-full, got sslmode={mode}")
    modes = {"disable": False, "prefer": None, "require": True}
    if mode not in modes:
        raise ConfigError(f"sslmode is one of {', '.join(modes)}, verify-full; got {mode}")
    return modes[mode]


def _connect(dialect: Any, _: object, arguments: list[Any], names: dict[str, Any]) -> Any:
    try:
        return dialect.connect(*arguments, **names)
    except dialect.loaded_dbapi.Error:
        raise
    except Exception as error:
        # Asked for a password that it has not, pg8000 fails on None.
        asked = isinstance(error, AttributeError) and "password" not in names
        reason = "it asks for a password, and its address has none" if asked else f"no connection: {error}"
        raise dialect.loaded_dbapi.InterfaceError(reason) from error


def _give_up(context: ExceptionContext) -> BaseException | None:
    """Use a connection no more that met what is no answer of the database."""
    error = context.original_exception
    if context.sqlalchemy_exception is not None and not isinstance(error, OSError):
        return None
    context.is_disconnect = True
    if isinstance(error, OSError):
        return sa.exc.InterfaceError(context.statement, None, error)
    context.invalidate_pool_on_disconnect = False
    return None
