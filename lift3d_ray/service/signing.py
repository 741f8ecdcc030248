"""Signatures of webhooks, as Standard Webhooks has them (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook


def new_secret() -> str:
    """A secret for signatures: 256 random bits, written as the standard writes them."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def signed_headers(secret: str, message_id: str, body: str, now: float) -> dict[str, str]:
    """The headers that let a receiver check that a message is ours, new, and not one it had before.

    Args:
        secret: ``new_secret`` of the owner.
        message_id: the same for every attempt to deliver the message.
        body: what is sent.
        now: seconds since 1970.
    """
    at = datetime.fromtimestamp(int(now), UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Webhook(secret).sign(message_id, at, body),
    }
