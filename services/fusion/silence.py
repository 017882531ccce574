"""Modalities that lacked for a while, as ingest told it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.fusion.science.inputs import Window
from services.fusion.vocabulary import Modality


class SilenceReason(StrEnum):
    SILENT = "SILENT"
    OFF = "OFF"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Silence:
    """Times are the device's; `resume_time` is None while it lasts."""

    modality: Modality
    since_time: datetime
    reason: SilenceReason
    resume_time: datetime | None = None

    def covers(self, window: Window) -> bool:
        """Whether some of the window was captured in it."""
        return window.capture_end_time > self.since_time and (
            self.resume_time is None or window.capture_start_time < self.resume_time
        )


def silent_in(window: Window, lacking: Collection[Modality], silences: Sequence[Silence]) -> Mapping[Modality, Silence]:
    """Why modalities lack in a window, of those that a silence explains; the newest, should two meet in it."""
    explained = [one for one in silences if one.modality in lacking and one.covers(window)]
    return {one.modality: one for one in sorted(explained, key=lambda one: one.since_time)}


def lasting(silences: Sequence[Silence]) -> tuple[Silence, ...]:
    return tuple(sorted((one for one in silences if one.resume_time is None), key=lambda one: one.modality))
