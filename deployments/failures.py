"""Ray's errors, seen as ours: what a model said arrives as if it had been called here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
    RequestCancelledError,
)
from ray.serve.handle import DeploymentResponse

from lift3d_ray.errors import ClusterError

LOST_REPLICA = (
    ActorDiedError,
    ActorUnavailableError,
    RayActorError,
    WorkerCrashedError,
    BackPressureError,
    ReplicaUnavailableError,
    RequestCancelledError,
    grpc.RpcError,
)
"""Errors that say nothing about the query: another replica, or the same one restarted, can answer it."""

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before asking again: a replica that loads large models is back within a minute."""


def ask(send: Callable[[], DeploymentResponse[Any]], *, timeout_s: float, what: str) -> Any:
    """Send a query until a replica answers it. Queries carry all they need, so asking twice is harmless.

    Args:
        send: sends the query.
        timeout_s: longest wait for one answer.
        what: the query in words, for messages.

    Returns:
        The answer.

    Raises:
        ClusterError: no replica could be reached, or none answered in time.
        Exception: whatever the model itself raised, as the model raised it.
    """
    lost: BaseException | None = None
    for pause in (*PAUSES_S, None):
        try:
            return send().result(timeout_s=timeout_s)
        except RayTaskError as error:
            inner = model_error(error)
            if not isinstance(inner, LOST_REPLICA):
                raise inner from None
            lost = inner
        except TimeoutError as error:
            raise ClusterError(f"{what}: no answer within {timeout_s:g} s; add replicas or raise the limit") from error
        except DeploymentUnavailableError as error:
            raise ClusterError(f"{what}: {error.message} Look at `serve status`") from error
        except LOST_REPLICA as error:
            lost = error
        if pause is not None:
            time.sleep(pause)
    raise ClusterError(f"{what}: no replica answered in {len(PAUSES_S) + 1} attempts, last: {lost}") from lost


def model_error(error: RayTaskError) -> Exception:
    """The exception that a model raised, out of Ray's wrapping."""
    inner: object = error
    while isinstance(inner, RayTaskError) and inner.cause is not inner and isinstance(inner.cause, Exception):
        inner = inner.cause
    return inner if isinstance(inner, Exception) else error
