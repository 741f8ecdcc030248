"""Where a service keeps files, on any filesystem, and which of them go out under which name.

::

    <root>/service/pictures/<owner>/<digest>     what was sent in
    <root>/service/previews/<job>/<name>         pictures of a lift that goes on
    <root>/<folder of the job's result>/<name>   assets, as ``submit`` writes them

No path is made of what a stranger sends: owners, digests and ids have a fixed form, and names are looked up in a list.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.fs as pafs

from lift3d_ray.errors import NotHere, UnreadablePhoto
from lift3d_ray.service.jobs import Job
from lift3d_ray.store.files import Folder
from lift3d_ray.store.keys import picture_digest

MEDIA_TYPES = {
    "asset.glb": "model/gltf-binary",
    "asset.glb.js": "text/javascript",
    "points.ply": "model/ply",
    "turntable.mp4": "video/mp4",
    "preview.png": "image/png",
    "subject.png": "image/png",
    "mask.png": "image/png",
    "depth.png": "image/png",
    "reference.png": "image/png",
    "result.json": "application/json",
}
"""Files of an asset that go out; others in its folder stay inside."""

PICTURES = "service/pictures"
PREVIEWS = "service/previews"
_CHUNK = 256 * 1024
_NAME = re.compile(r"(?:(?P<asset>[1-9][0-9]{0,3})/)?(?P<name>[a-z0-9.]{1,40})")
_PREVIEW = re.compile(r"preview-[0-9]{1,6}\.(?P<kind>jpg|png)")
_PREVIEW_TYPES = {"jpg": "image/jpeg", "png": "image/png"}
_OWNER = re.compile(r"[a-z0-9]{1,32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that may go out.

    Attributes:
        name: what it is asked for by.
        path: path on the filesystem.
        media_type: what it is.
        size: bytes.
        etag: strong entity tag, with its quotes: other bytes have another one.
    """

    name: str
    path: str
    media_type: str
    size: int
    etag: str


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """Files of jobs.

    Attributes:
        root: the service's output folder.
    """

    root: Folder

    def names(self, job: Job) -> list[str]:
        """Names under which files of a job go out: ``asset.glb``, or ``2/asset.glb`` where it has several assets."""
        found = []
        for number, folder in enumerate(job.result.folders, 1):
            there = self.root.names(folder, "")
            before = f"{number}/" if len(job.result.folders) > 1 else ""
            found += [f"{before}{name}" for name in MEDIA_TYPES if name in there]
        return found

    def find(self, job: Job, name: str) -> StoredFile:
        """A file of a job, a preview among them.

        Args:
            job: the job, which the caller has checked to be the asker's.
            name: the name it is asked for by, as it came.

        Raises:
            NotHere: there is no such file, or none that goes out.
        """
        preview = _PREVIEW.fullmatch(name)
        if preview is not None:
            return self._stored(f"{PREVIEWS}/{job.id}/{name}", name, _PREVIEW_TYPES[preview["kind"]])
        match = _NAME.fullmatch(name)
        number = int((match and match["asset"]) or 1)
        if match is None or match["name"] not in MEDIA_TYPES or number > len(job.result.folders):
            raise NotHere(f"the job has no file {name!r}")
        relative = f"{job.result.folders[number - 1]}/{match['name']}"
        return self._stored(relative, name, MEDIA_TYPES[match["name"]])

    def _stored(self, relative: str, name: str, media_type: str) -> StoredFile:
        path = self.root.inside(relative)
        info = self.root.filesystem.get_file_info(path)
        if info.type != pafs.FileType.File:
            raise NotHere(f"the job has no file {name!r}")
        version = hashlib.sha256(f"{path}\n{info.size}\n{info.mtime_ns}".encode()).hexdigest()[:32]
        return StoredFile(name=name, path=path, media_type=media_type, size=int(info.size), etag=f'"{version}"')

    def read(self, file: StoredFile, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a file, or of a part of it, in pieces.

        Args:
            file: as found.
            start: first byte.
            stop: the byte behind the last one; None = to the end.
        """
        left = (file.size if stop is None else stop) - start
        with self.root.filesystem.open_input_file(file.path) as stream:
            stream.seek(start)
            while left > 0 and (piece := stream.read(min(_CHUNK, left))):
                left -= len(piece)
                yield bytes(piece)

    def write_preview(self, job_id: str, number: int, data: bytes, kind: str = "jpg") -> str:
        """Keep a picture of a lift that goes on.

        Args:
            job_id: of which job.
            number: which picture, from 0; the same number replaces it.
            data: its bytes.
            kind: ``jpg`` or ``png``.

        Returns:
            Its name, for ``JobStore.announce`` and ``find``.
        """
        name = f"preview-{number}.{kind}"
        self.root.write(f"{PREVIEWS}/{job_id}/{name}", data)
        return name

    def stored_bytes(self, folders: tuple[str, ...]) -> int:
        """Bytes of all files in these folders: ``JobResult.stored_bytes``."""
        selectors = [pafs.FileSelector(self.root.inside(folder), recursive=True) for folder in folders]
        return sum(info.size or 0 for selector in selectors for info in self.root.filesystem.get_file_info(selector))

    def delete_folder(self, relative: str) -> None:
        """Take a folder and all in it away; nothing happens where there is none."""
        path = self.root.inside(relative)
        if self.root.filesystem.get_file_info(path).type == pafs.FileType.Directory:
            self.root.filesystem.delete_dir(path)

    def delete_previews(self, job_id: str) -> None:
        """Take a job's previews away."""
        self.delete_folder(f"{PREVIEWS}/{job_id}")

    # Pictures that were sent in.

    def keep_picture(self, owner: str, data: bytes) -> str:
        """Keep a picture before its job is accepted: once an owner, however many jobs it has.

        Returns:
            Its digest, for ``JobStore.accept``.
        """
        digest = picture_digest(data)
        self.root.write(_picture(owner, digest), data)
        return digest

    def picture(self, owner: str, digest: str) -> bytes:
        """The bytes of a picture.

        Raises:
            UnreadablePhoto: it is gone, or is not what it was.
        """
        data = self.root.read(_picture(owner, digest))
        if data is None or picture_digest(data) != digest:
            raise UnreadablePhoto(f"the picture {digest[:12]} is gone or damaged in {self.root.address}; send it again")
        return data

    def delete_picture(self, owner: str, digest: str) -> None:
        """Take a picture away."""
        path = self.root.inside(_picture(owner, digest))
        if self.root.filesystem.get_file_info(path).type == pafs.FileType.File:
            self.root.filesystem.delete_file(path)

    def pictures(self) -> Iterator[tuple[str, str, float]]:
        """All pictures that are kept: (owner, digest, seconds since 1970 of the last time it was sent)."""
        selector = pafs.FileSelector(self.root.inside(PICTURES), allow_not_found=True, recursive=True)
        for info in self.root.filesystem.get_file_info(selector):
            owner, _, digest = info.path.rpartition("/")
            if info.type == pafs.FileType.File and _DIGEST.fullmatch(digest):
                yield owner.rpartition("/")[2], digest, (info.mtime_ns or 0) / 1e9


def _picture(owner: str, digest: str) -> str:
    if not (_OWNER.fullmatch(owner) and _DIGEST.fullmatch(digest)):
        raise NotHere(f"there is no picture {digest!r} of {owner!r}")
    return f"{PICTURES}/{owner}/{digest}"
