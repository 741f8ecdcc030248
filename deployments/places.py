"""Where a service keeps what it must not lose."""

from __future__ import annotations

from lift3d_ray.errors import ConfigError
from lift3d_ray.store.files import open_folder

DATABASE_FILE = "jobs.db"


def database_of(out: str, address: str) -> str:
    """Where the jobs and keys of a service are; the folder is made where it is missing.

    Args:
        out: the service's folder, path or URI.
        address: its database, "" where nothing was said: then a file in the folder.

    Raises:
        ConfigError: nothing was said, and the folder is on no filesystem of this machine.
    """
    if address:
        return address
    folder = open_folder(out)
    if folder.local is None:
        raise ConfigError(f"{out} is no folder of this machine, so the database needs a place: give --database URL")
    folder.create()
    return str(folder.local / DATABASE_FILE)
