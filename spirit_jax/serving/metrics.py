"""What the service counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Names begin with `spirit_`; those of the process, such as its memory, with `process_`."""

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        owned: dict = {"registry": self.registry}
        timed: dict = {"buckets": SECONDS, **owned}
        self.requests = Counter(
            "spirit_requests", "requests that were answered", ("route", "status"), **owned
        )
        self.tokens = Counter("spirit_tokens", "tokens of prompts, and new ones", ("kind",), **owned)
        self.first_token = Histogram(
            "spirit_first_token_seconds", "from the engine taking a request to its first token", **timed
        )
        self.first_sound = Histogram(
            "spirit_first_sound_seconds",
            "the same to its first streamed sound",
            buckets=SECONDS,
            **owned,
        )
        self.seconds = Histogram("spirit_request_seconds", "from a request to its end", ("route",), **timed)

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is read when it is asked for."""
        Gauge(name, about, registry=self.registry).set_function(value)

    def write(self) -> bytes:
        """All, as Prometheus reads it."""
        return generate_latest(self.registry)
