"""``/metrics``: figures for Prometheus. No figure tells one owner about another."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.types import Scope

from lift3d_ray.service.jobs import Usage

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The figures of one process: each replica of the ingress has its own, and jobs are the same in all."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lift3d_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "lift3d_http_seconds",
            "Seconds until an answer began, by route.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._jobs = Gauge("lift3d_jobs", "Lifts that are kept, by state.", ("state",), registry=self._registry)
        self._stored = Gauge("lift3d_stored_bytes", "Bytes of pictures and assets.", registry=self._registry)
        self._streams = Gauge("lift3d_event_streams", "Open event streams.", registry=self._registry)

    def seen(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer. Routes are named by their pattern, so that strangers cannot make up new names."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self, usage: Usage, streams: int) -> bytes:
        """All figures, in Prometheus's text format.

        Args:
            usage: of all owners together.
            streams: open event streams.
        """
        for state in ("queued", "running", "ended"):
            self._jobs.labels(state).set(getattr(usage, state))
        self._stored.set(usage.stored_bytes)
        self._streams.set(streams)
        return generate_latest(self._registry)
