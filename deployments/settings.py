"""What every process of the service is told, and what each makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lift3d_ray.batch.resources import Share
from lift3d_ray.deployments.api.parts import Enter, Fetch, Fetched
from lift3d_ray.deployments.dispatch import DispatchConfig
from lift3d_ray.service.database import Database
from lift3d_ray.service.fetch import Fetcher
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.jobs import LOCAL_OWNER, UNNAMED, printable_name
from lift3d_ray.service.keys import KeyRing
from lift3d_ray.service.store import JobStore, QueueSettings
from lift3d_ray.service.wire import Wire, WireLimits
from lift3d_ray.store.files import open_folder


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """How a service is set up. Plain values: they travel to its processes.

    Attributes:
        out: absolute address of its folder.
        database: where its jobs are.
        bundle: name or folder of the model bundle.
        bundle_digest: digest of it.
        recipe: of lifts that name none.
        quality: of lifts that name none.
        local_only: no API keys, and nobody but this machine.
        settings: whether orders may exchange numbers of a recipe.
        body_bytes: bytes of a request at most.
        max_queued: lifts that may wait.
        keep_days: days for which ended lifts are kept.
        fetch_prefixes: object storage that pictures may be read from.
        share: what an optimizer gets.
        dispatch: how jobs are run.
    """

    out: str
    database: str
    bundle: str
    bundle_digest: str
    recipe: str
    quality: str
    local_only: bool
    settings: bool
    body_bytes: int
    max_queued: int
    keep_days: float
    fetch_prefixes: tuple[str, ...]
    share: Share
    dispatch: DispatchConfig

    def open_store(self) -> JobStore:
        """The job store, connected."""
        return JobStore(Database(self.database), QueueSettings(max_queued=self.max_queued))

    def open_gate(self, store: JobStore) -> Enter:
        """Who may come in."""
        if self.local_only:
            return lambda key: LOCAL_OWNER
        ring = KeyRing(store.database)

        def enter(text: str | None) -> str:
            owner = ring.check(text).id
            ring.admit_request(owner)
            return owner

        return enter

    def open_fetch(self) -> Fetch:
        """Pictures by address."""
        fetcher = Fetcher(wire=Wire(limits=WireLimits(max_bytes=self.body_bytes)), prefixes=self.fetch_prefixes)
        return lambda address: Fetched(data=fetcher.fetch(address), name=name_in(address))

    def open_files(self) -> JobFiles:
        """The files of jobs."""
        return JobFiles(root=open_folder(self.out))


def name_in(address: str) -> str:
    """What to call a picture by its address: the last part of its path."""
    if address.startswith("data:"):
        return UNNAMED
    return printable_name(unquote(urlsplit(address).path.rsplit("/", 1)[-1]))
