"""The ledger: one small file per outcome, written last, which makes a run resumable by content.

``ledger/<key>.json`` holds how a lift ended. It is written after the asset's folder is in place, so what the ledger
says exists does exist. ``ledger/runs/<run>.jsonl`` lists a run's input rows with their keys, several of which may hold
the same picture and so share a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from lift3d_ray.store.files import Folder
from lift3d_ray.store.schema import Outcome, outcome_from_json

LEDGER = "ledger"
RUNS = "ledger/runs"
_READERS = 16


@dataclass(frozen=True, kw_only=True)
class InputRow:
    """An input row and the key its picture was found to have.

    Attributes:
        source: where it was read from.
        name: what people call it.
        key: key of its lift.
        picture_digest: digest of its bytes.
        stamp: size and time of the file when it was read, "" where unknown: unchanged means not to be read again.
        thing: which of several things in the picture, counted from 1; 0 = its only one, or the picture itself.
    """

    source: str
    name: str
    key: str
    picture_digest: str
    stamp: str = ""
    thing: int = 0


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Outcomes by key, in one output folder. Any number of processes may use it at once."""

    folder: Folder

    def get(self, key: str) -> Outcome | None:
        """The recorded outcome of a key, or None."""
        data = self.folder.read(f"{LEDGER}/{key}.json")
        return None if data is None else outcome_from_json(data.decode("utf-8", "replace"))

    def put(self, outcome: Outcome) -> None:
        """Record an outcome. A failure never overwrites what another run has finished, or parted, meanwhile."""
        if outcome.status == "failed":
            present = self.get(outcome.key)
            if present is not None and present.status in ("done", "parted"):
                return
        self.folder.write(f"{LEDGER}/{outcome.key}.json", outcome.to_json().encode())

    def keys(self) -> set[str]:
        """All keys that have an outcome."""
        return {name.removesuffix(".json") for name in self.folder.names(LEDGER, ".json")}

    def get_many(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """The recorded outcomes among these keys."""
        wanted = list(keys)
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(self.get, wanted)
            return {key: outcome for key, outcome in zip(wanted, found, strict=True) if outcome is not None}

    def put_rows(self, run: str, rows: Iterable[InputRow]) -> None:
        """Record which input rows a run had."""
        lines = [json.dumps(asdict(row), sort_keys=True) for row in rows]
        self.folder.write(f"{RUNS}/{run}.jsonl", ("\n".join(lines) + "\n").encode())

    def rows(self) -> list[InputRow]:
        """The input rows of all runs, oldest run first (run names begin with their time)."""
        names = self.run_files()
        with ThreadPoolExecutor(_READERS) as pool:
            texts = list(pool.map(lambda name: self.folder.read(f"{RUNS}/{name}") or b"", names))
        return [InputRow(**json.loads(line)) for text in texts for line in text.decode().splitlines() if line]

    def run_files(self) -> list[str]:
        """Names of the runs' row files."""
        return self.folder.names(RUNS, ".jsonl")
