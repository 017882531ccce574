"""What ingest can be told."""

import sys

from pydantic import Field, ValidationInfo, field_validator

from libs.common.settings import CommonSettings


class IngestSettings(CommonSettings):
    port: int = Field(default=50052, ge=0, le=65535)
    metrics_port: int = Field(default=51052, ge=0, le=65535)
    max_receive_message_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)

    session_silence_seconds: float = Field(
        default=1800, ge=60, description="a session of which nothing is heard for so long is ended"
    )
    modality_silence_seconds: float = Field(
        default=30, ge=5, description="a modality that shows nothing for so long while its session goes on is silent"
    )
    session_grace_seconds: float = Field(
        default=7 * 86_400, ge=0, description="an ended session takes late predictions for so long"
    )

    voice_retention_days: int = Field(
        default=7, ge=1, description="from a voice session's receipt; it is deleted then, if its patterns are extracted"
    )
    allow_plaintext: bool = Field(
        default=False, description="thin clients may send words unsealed; they are sealed in memory"
    )

    workers: int = Field(default=1, ge=1, le=64, description="processes on one port; more than one needs Linux")
    worker_number: int = Field(default=0, ge=0, description="told to a worker by its leader, which is number 0")
    leader_process_id: int = Field(default=0, ge=0, description="told to a worker by its leader")

    group_max_predictions: int = Field(default=5_000, ge=1)
    group_max_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    group_interval_milliseconds: float = Field(
        default=10, ge=0, description="at least, between the starts of two groups"
    )
    queue_max_bytes: int = Field(default=64 * 1024 * 1024, ge=1, description="beyond it streams are not read")

    credit_max_batches: int = Field(default=256, ge=1, description="in flight on one stream")
    credit_max_predictions: int = Field(default=10_000, ge=5_000, description="in flight on one stream")
    device_predictions_per_second: float = Field(default=1_000, gt=0, description="beyond it a device is not read")
    person_predictions_per_second: float = Field(default=2_000, gt=0, description="of all devices of one person")
    burst_seconds: float = Field(default=20, ge=1, description="of a rate that may be spent at once")
    device_max_streams: int = Field(default=500, ge=1, description="open at once")

    stream_idle_seconds: float = Field(default=300, gt=0, description="a stream that neither sends nor reads is ended")

    exports_max_concurrent: int = Field(default=16, ge=1, description="ExportSession calls; each holds one page")
    analytics_max_concurrent: int = Field(default=2, ge=1, le=8, description="questions; beyond they are refused")
    analytics_statement_seconds: float = Field(default=5, gt=0, le=60)

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and (info.data.get("port") == 0 or sys.platform != "linux"):
            raise ValueError("more than one worker needs Linux, and a port that isn't 0")
        return workers
