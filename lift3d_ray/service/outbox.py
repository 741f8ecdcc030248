"""Messages to webhooks, written in the transaction that ends the job: none is lost, none tells what did not happen."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Row

from lift3d_ray.service.database import Work
from lift3d_ray.service.tables import OUTBOX


def post(work: Work, row: Row[Any]) -> None:
    """Leave a message about a job that has just ended, where its order names somebody to tell.

    Args:
        work: the transaction that ends the job.
        row: the job's row as it is now.
    """
    if not row.webhook or row.deleted_at is not None:
        return
    work.conn.execute(
        OUTBOX.insert().values(
            id=f"msg_{secrets.token_hex(16)}",
            owner=row.owner,
            job_id=row.id,
            url=row.webhook,
            body=json.dumps(_body(row, work.now), sort_keys=True),
            created_at=work.now,
            tries=0,
            next_at=work.now,
            last_error="",
        )
    )


def _body(row: Row[Any], now: float) -> dict[str, Any]:
    """What the receiver reads: kind of event, when, and the job without its owner."""
    error = {"code": row.error_code, "message": row.error_message} if row.error_code else None
    return {
        "type": f"lift.{row.state}",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
        "data": {"id": row.id, "batch": row.batch or None, "state": row.state, "error": error, "caption": row.caption},
    }
