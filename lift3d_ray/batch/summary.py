"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass

from lift3d_ray.store.schema import Outcome

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What became of every input row: rows = done + skipped + failed + left.

    Attributes:
        rows: input rows; where every thing of a picture is lifted, its things instead of the picture.
        done: rows that have an asset made by this run.
        skipped: rows that had their asset before.
        failed: rows that failed, in this run or before.
        left: rows without an outcome: not reached before an interruption, or what a dry run would lift.
        failures: how the failed rows ended.
        left_out: files in the input folders that are no pictures.
        seconds: wall time.
        out: the output folder.
        run: the run's name.
        interrupted: somebody stopped it.
        dry_run: nothing was lifted on purpose.
        pictures: pictures among the inputs.
        unseen: those of them whose things are not counted yet: among ``left``, a row each.
    """

    rows: int
    done: int
    skipped: int
    failed: int
    left: int
    failures: tuple[Outcome, ...]
    left_out: tuple[str, ...]
    seconds: float
    out: str
    run: str
    interrupted: bool = False
    dry_run: bool = False
    pictures: int = 0
    unseen: int = 0

    @property
    def exit_status(self) -> int:
        """0 every row has its asset, 1 some failed or are left, 130 interrupted."""
        if self.interrupted:
            return INTERRUPTED
        return 1 if self.failed or (self.left and not self.dry_run) else 0
