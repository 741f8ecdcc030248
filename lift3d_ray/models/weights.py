"""The weights folder: where pulled models lie, what is there of them, and how more is brought.

``models/NAME`` holds the files of a published entry as their publisher lays them out, and ``pulled.json``, written
last, which says what they are: size, SHA-256 and, from a Hub, the commit. A folder with it is whole. ``bundles/NAME``
holds a ``bundle.json`` that points at such folders.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lift3d_ray.errors import BundleError, ConfigError
from lift3d_ray.models.catalog import (
    BUNDLES,
    MODELS,
    BundleSpec,
    HubSource,
    ModelEntry,
    PublishedFile,
    written_bundle,
)
from lift3d_ray.models.download import FetchedFile, RemoteFile, fetch, file_sha256, hub_url, open_client
from lift3d_ray.models.files import read_config

PULLED = "pulled.json"
WEIGHTS_VARIABLE = "LIFT3D_WEIGHTS"
MIRROR_VARIABLE = "LIFT3D_MIRROR"


@dataclass(frozen=True, kw_only=True)
class PullProgress:
    """How a pull stands.

    Attributes:
        file: what is being fetched, ``entry/path``.
        done_bytes: of that file, so far.
        size_bytes: its length, or None where it is not known beforehand.
    """

    file: str
    done_bytes: int
    size_bytes: int | None


Watch = Callable[[PullProgress], None]


def weights_folder(given: str | Path | None = None) -> Path:
    """Where pulled models lie: as given, else ``LIFT3D_WEIGHTS``, else ``~/.cache/lift3d-ray``; absolute."""
    folder = given or os.environ.get(WEIGHTS_VARIABLE) or Path("~/.cache/lift3d-ray")
    return Path(folder).expanduser().absolute()


def entry_folder(weights: Path, entry: ModelEntry) -> Path:
    """Where an entry lies, or will."""
    return weights / MODELS / entry.name


def bundle_folder(weights: Path, name: str) -> Path:
    """Where the ``bundle.json`` of a pulled bundle lies, or will."""
    return weights / BUNDLES / name


def remote_file(entry: ModelEntry, file: PublishedFile, weights: Path) -> RemoteFile:
    """A file of an entry: where it is fetched from, through mirrors that are set, and where it belongs.

    Raises:
        ConfigError: a mirror is set that is no address.
    """
    from_hub = isinstance(entry.source, HubSource)
    return RemoteFile(
        url=hub_url(entry.source.repo, file.path, entry.source.revision)
        if isinstance(entry.source, HubSource)
        else _web_url(entry.source.url + file.path),
        path=entry_folder(weights, entry) / file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        from_hub=from_hub,
    )


def _web_url(url: str) -> str:
    """An address outside the Hub, below ``LIFT3D_MIRROR`` where that is set: the mirror, the host, the path."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return url
    if not mirror.startswith(("http://", "https://")):
        raise ConfigError(f"{MIRROR_VARIABLE} is {mirror!r}, wanted an address such as https://mirror.example/models")
    return f"{mirror.rstrip('/')}/{url.removeprefix('https://')}"


def is_pulled(entry: ModelEntry, weights: Path) -> bool:
    """Whether all files of an entry are there as they were pulled."""
    folder = entry_folder(weights, entry)
    return (folder / PULLED).is_file() and not faults(folder)


def missing_files(entry: ModelEntry, weights: Path) -> list[RemoteFile]:
    """The files of an entry that are not there."""
    wanted = [remote_file(entry, file, weights) for file in entry.files]
    return [file for file in wanted if not file.path.is_file()]


def pull(
    entries: Sequence[ModelEntry],
    weights: Path,
    *,
    watch: Watch = lambda progress: None,
) -> list[Path]:
    """Bring what is missing of some entries; what lies there without ``pulled.json`` is verified first.

    Args:
        entries: which.
        weights: the weights folder.
        watch: told about every block.

    Returns:
        The folders of the entries.

    Raises:
        BundleError: a file cannot be had or is not the published one, or the disk is too small; it names all that is
            still missing, where each is to be had and where it belongs.
        ConfigError: the environment forbids it.
    """
    lacking = {entry.name: missing_files(entry, weights) for entry in entries}
    _check_disk(weights, [file for files in lacking.values() for file in files])
    for position, entry in enumerate(entries):
        if is_pulled(entry, weights):
            continue
        try:
            fetched = _pull_files(entry, weights, watch)
        except (BundleError, ConfigError) as error:
            rest = [file for later in entries[position:] for file in missing_files(later, weights)]
            raise type(error)(f"{error}{by_hand(rest)}") from error
        _finish(entry, weights, fetched)
    return [entry_folder(weights, entry) for entry in entries]


def _pull_files(entry: ModelEntry, weights: Path, watch: Watch) -> list[FetchedFile]:
    files = [remote_file(entry, file, weights) for file in entry.files]
    here = [_verified(file) for file in files if file.path.is_file()]
    rest = [file for file in files if not file.path.is_file()]
    if not rest:
        return here
    with open_client() as client:
        return here + [fetch(file, client, report=_teller(entry, file, weights, watch)) for file in rest]


def _verified(file: RemoteFile) -> FetchedFile:
    """A file that was there before.

    Raises:
        BundleError: it is not the published one.
    """
    size = file.path.stat().st_size
    found = FetchedFile(path=file.path, size_bytes=size, sha256=file_sha256(file.path))
    for what, got, wanted in (("bytes", size, file.size_bytes), ("SHA-256", found.sha256, file.sha256)):
        if wanted is not None and got != wanted:
            raise BundleError(
                f"{file.path} has {what} {got}, wanted {wanted}: it is damaged or another file; "
                "delete it and pull again"
            )
    return found


def _teller(entry: ModelEntry, file: RemoteFile, weights: Path, watch: Watch) -> Callable[[int], None]:
    name = f"{entry.name}/{file.path.relative_to(entry_folder(weights, entry)).as_posix()}"
    part = file.path.with_name(file.path.name + ".part")
    done = part.stat().st_size if part.is_file() else 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        watch(PullProgress(file=name, done_bytes=done, size_bytes=file.size_bytes))

    tell(0)
    return tell


def _finish(entry: ModelEntry, weights: Path, fetched: Iterable[FetchedFile]) -> None:
    """Write what there is now, last and at once: a folder with ``pulled.json`` is whole."""
    folder = entry_folder(weights, entry)
    revision = entry.source.revision if isinstance(entry.source, HubSource) else None
    facts = {
        "entry": entry.name,
        "files": {
            file.path.relative_to(folder).as_posix(): {
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "commit": file.commit or revision,
            }
            for file in sorted(fetched, key=lambda file: file.path)
        },
    }
    write_json(folder / PULLED, facts)


def write_bundle(spec: BundleSpec, weights: Path) -> Path:
    """Write the ``bundle.json`` of a bundle whose entries are there.

    Returns:
        Its folder.
    """
    folder = bundle_folder(weights, spec.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "bundle.json", written_bundle(spec))
    return folder


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a small file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def by_hand(files: Sequence[RemoteFile]) -> str:
    """What is missing, where it is to be had and where it belongs, a line a file; nothing where nothing is missing."""
    if not files:
        return ""
    lines = [f"  {file.url}\n    -> {file.path}" for file in files]
    return "\nStill missing; by hand, each goes here, and the same command verifies it:\n" + "\n".join(lines)


def _check_disk(weights: Path, files: Sequence[RemoteFile]) -> None:
    wanted = sum(file.size_bytes or 0 for file in files)
    there = next(folder for folder in (weights, *weights.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    begun = sum(p.stat().st_size for file in files if (p := file.path.with_name(file.path.name + ".part")).is_file())
    if wanted - begun > free:
        raise BundleError(
            f"{weights} has {free / 1e9:.1f} GB free and {(wanted - begun) / 1e9:.1f} GB are to be fetched: "
            "make room, or name another folder with --weights"
        )


def pulled_facts(folder: Path) -> Mapping[str, Any] | None:
    """What ``pulled.json`` says of the files of a folder, by path below it; None where it was not pulled.

    Raises:
        BundleError: it cannot be read.
    """
    if not (folder / PULLED).is_file():
        return None
    files = read_config(folder, PULLED).get("files")
    if not isinstance(files, dict) or not all(isinstance(fact, dict) for fact in files.values()):
        raise BundleError(f"{folder / PULLED} does not say what was pulled: delete it and pull again")
    return files


def faults(folder: Path) -> list[str]:
    """A sentence for every file of an entry's folder that is not as it was pulled; by size, which costs nothing."""
    found = [f"{part} is half a file: pull again" for part in sorted(folder.rglob("*.part"))]
    for name, facts in (pulled_facts(folder) or {}).items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != facts.get("size_bytes"):
            has = "is missing" if size is None else f"has {size} bytes"
            found.append(f"{path} {has}, wanted {facts.get('size_bytes')} bytes: pull again")
    return found


def home_of(folder: Path) -> Path | None:
    """The folder of the pulled entry that a role's folder belongs to, or None."""
    return next((home for home in (folder, folder.parent) if (home / PULLED).is_file()), None)
