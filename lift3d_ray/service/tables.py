"""The tables. A change of any of them raises ``SCHEMA_VERSION``.

Plain types only, the same on SQLite and PostgreSQL; times are seconds since 1970, UTC; JSON is text.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 1
"""Version of these tables."""

METADATA = MetaData()

GATE = Table(
    "gate",
    METADATA,
    Column("id", Integer, primary_key=True),  # 1: there is one row
    Column("schema_version", Integer, nullable=False),
    Column("tickets", BigInteger, nullable=False),  # given out so far; whoever accepts jobs holds this row
    Column("closing", Boolean, nullable=False),
)

OWNERS = Table(
    "owners",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("key_hash", String(64), unique=True),  # none: the owner has no key
    Column("webhook_secret", String(100), nullable=False),
    Column("max_queued", Integer, nullable=False),
    Column("max_running", Integer, nullable=False),
    Column("max_stored_bytes", BigInteger, nullable=False),
    Column("requests_per_minute", Integer, nullable=False),
    Column("tokens", Double, nullable=False),  # of the bucket, when it was last looked at
    Column("tokens_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("served_at", Double, nullable=False),  # when a job of this owner was last started
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("ticket", BigInteger, nullable=False, unique=True),  # order of arrival
    Column("owner", String(32), ForeignKey("owners.id"), nullable=False),
    Column("batch", String(32), nullable=False),
    Column("request", Text, nullable=False),  # LiftOrder
    Column("recipe", String(100), nullable=False),
    Column("quality", String(20), nullable=False),
    Column("best_of", Integer, nullable=False),
    Column("webhook", Text),
    Column("picture_digest", String(64), nullable=False),
    Column("picture_bytes", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("stage", String(40), nullable=False, default=""),
    Column("step", Integer, nullable=False, default=0),
    Column("steps", Integer, nullable=False, default=0),
    Column("progress", Double, nullable=False, default=0.0),
    Column("attempt", Integer, nullable=False, default=0),
    Column("deaths", Integer, nullable=False, default=0),
    Column("worker", String(200), nullable=False, default=""),
    Column("lease_until", Double),  # while it runs
    Column("cancel_asked", Boolean, nullable=False, default=False),
    Column("version", Integer, nullable=False, default=1),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("began_at", Double),  # the present or last attempt
    Column("finished_at", Double),
    Column("error_code", String(100), nullable=False, default=""),
    Column("error_message", Text, nullable=False, default=""),
    Column("folders", Text, nullable=False, default="[]"),
    Column("caption", Text, nullable=False, default=""),
    Column("result_bytes", BigInteger, nullable=False, default=0),
    Column("deleted_at", Double),  # asked for: nobody sees it any more, its files are to be taken away
    Index("jobs_waiting", "state", "owner", "ticket"),
    Index("jobs_of_owner", "owner", "created_at", "id"),
    Index("jobs_of_batch", "batch"),
    Index("jobs_ended", "state", "finished_at"),
    Index("jobs_of_picture", "owner", "picture_digest"),
)

REQUESTS = Table(
    "requests",
    METADATA,
    Column("owner", String(32), ForeignKey("owners.id"), primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("answer", String(32), nullable=False),  # id of the job, or of the batch
    Index("requests_by_answer", "answer"),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("at", Double, nullable=False),
    Column("data", Text, nullable=False),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("owner", String(32), ForeignKey("owners.id"), nullable=False),
    Column("job_id", String(32), nullable=False),  # may be gone before the message is
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Double),  # none: delivered or given up
    Column("delivered_at", Double),
    Column("last_error", Text, nullable=False),
    Index("outbox_due", "next_at"),
)
