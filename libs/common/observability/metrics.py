"""What a service tells Prometheus. No label ever names a person."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)
_GROUP_SIZES = (1, 4, 16, 64, 256, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry(target_info={"service": service})
        ProcessCollector(registry=self.registry)
        self.calls = Counter("quietus_calls", "Finished calls", ("method", "status"), registry=self.registry)
        self.call_seconds = Histogram(
            "quietus_call_seconds", "Duration of calls", ("method",), registry=self.registry, buckets=_CALL_SECONDS
        )
        self.calls_in_flight = Gauge(
            "quietus_calls_in_flight", "Running calls, by kind: unary or stream", ("kind",), registry=self.registry
        )
        self.calls_shed = Counter("quietus_calls_shed", "Calls refused under load", ("kind",), registry=self.registry)
        self.group_commit_predictions = Histogram(
            "quietus_group_commit_predictions",
            "Predictions in one group commit",
            registry=self.registry,
            buckets=_GROUP_SIZES,
        )
        self.outbox_head = Gauge(
            "quietus_outbox_head", "Newest position of the slice's own feed", ("partition",), registry=self.registry
        )
        self.follower_lag_batches = Gauge(
            "quietus_follower_lag_batches",
            "Batches between a source's head and the cursor",
            ("source", "partition"),
            registry=self.registry,
        )
        self.follower_lag_seconds = Gauge(
            "quietus_follower_lag_seconds",
            "Age of the newest applied batch when it was applied",
            ("source", "partition"),
            registry=self.registry,
        )
        self.parked_events = Gauge(
            "quietus_parked_events", "Events that wait for a person to decide", ("source",), registry=self.registry
        )
        self.partition_default_rows = Gauge(
            "quietus_partition_default_rows",
            "Rows that wait in DEFAULT for their month's partition, up to 100,000",
            ("table",),
            registry=self.registry,
        )
        self.partitions_until_time = Gauge(
            "quietus_partitions_until_timestamp_seconds",
            "Where the newest month's partition ends",
            ("table",),
            registry=self.registry,
        )
        self.partitions_kept_time = Gauge(
            "quietus_partitions_kept_timestamp_seconds",
            "When partitions were last made, dropped and emptied without failure",
            registry=self.registry,
        )
        self.partitions_dropped = Counter(
            "quietus_partitions_dropped", "Partitions dropped because of retention", registry=self.registry
        )
        self.sessions_expired = Counter(
            "quietus_sessions_expired", "Sessions deleted because of retention", registry=self.registry
        )
        self.sessions_passed_over = Counter(
            "quietus_sessions_passed_over",
            "Sessions that a job passed over because of an error; each time is counted",
            registry=self.registry,
        )
        self.voice_sessions_overdue = Gauge(
            "quietus_voice_sessions_overdue",
            "Voice sessions that should have been learned from and deleted",
            registry=self.registry,
        )
        self.explanation_wordings = Counter(
            "quietus_explanation_wordings",
            "Times that a language model was asked to word an explanation, by how it went",
            ("outcome",),
            registry=self.registry,
        )
        self.degraded = Gauge(
            "quietus_degraded", "1 while the service works but someone should look", ("reason",), registry=self.registry
        )
        self._degraded_reasons: set[str] = set()

    def set_degraded(self, reason: str, degraded: bool) -> None:
        """Says on /healthz and as a metric that something needs a person, such as parked_events."""
        self.degraded.labels(reason).set(int(degraded))
        if degraded:
            self._degraded_reasons.add(reason)
        else:
            self._degraded_reasons.discard(reason)

    @property
    def degraded_reasons(self) -> list[str]:
        return sorted(self._degraded_reasons)
