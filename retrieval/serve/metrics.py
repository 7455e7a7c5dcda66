"""Figures of the service for Prometheus, in a registry of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters and histograms. Labels are templates of routes and statuses, never names, texts or addresses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "imindex_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "imindex_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.encoded = Counter(
            "imindex_encoded", "Pictures and texts encoded.", ("kind",), registry=self.registry
        )
        self.batch = Histogram(
            "imindex_batch_size", "Pictures or texts in a forward pass.", ("kind",),
            buckets=(1, 2, 4, 8, 16, 32), registry=self.registry,
        )  # fmt: skip
        self.encoding = Histogram(
            "imindex_encoding_seconds",
            "Time of a forward pass.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.searching = Histogram(
            "imindex_search_seconds", "Time of a search.", buckets=_SECONDS, registry=self.registry
        )
        self.rows = Gauge("imindex_rows", "Rows of an index.", ("index",), registry=self.registry)
        self.generation = Gauge(
            "imindex_generation", "How often an index was opened.", ("index",), registry=self.registry
        )
        _gauge(self.registry, "imindex_open_files", "Open file descriptors.", _open_files)
        _gauge(self.registry, "imindex_resident_bytes", "Memory of the process.", _resident)

    def waits(self, queue: Callable[[], float]) -> None:
        """Show the number of requests that wait or compute."""
        _gauge(self.registry, "imindex_queue", "Requests that wait or compute.", queue)

    def encoding_took(self, kind: str, n: int, seconds: float) -> None:
        """Count a forward pass."""
        self.encoded.labels(kind).inc(n)
        self.batch.labels(kind).observe(n)
        self.encoding.labels(kind).observe(seconds)

    def text(self) -> bytes:
        """Return all figures in the text format."""
        text: bytes = generate_latest(self.registry)
        return text


def _gauge(registry: CollectorRegistry, name: str, what: str, value: Callable[[], float]) -> None:
    Gauge(name, what, registry=registry).set_function(value)


def _open_files() -> float:
    try:
        return float(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    except OSError:
        return float("nan")


def _resident() -> float:
    try:
        import resource
    except ImportError:  # not on Windows
        return float("nan")
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(most if sys.platform == "darwin" else most * 1024)
    return float(pages * resource.getpagesize())
