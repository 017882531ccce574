"""What the stream protocol promises of one session, in plain Python.

The order in which several clients are served is the server's choice: `explanations` looks for an order that explains
everything that was heard, and what the feed told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

VISION, AUDIO, TEXT = 1, 2, 3
MODALITIES = {VISION: "vision", AUDIO: "audio", TEXT: "text"}
CHUNKS = 4
WINDOWS = (0, 1)


@dataclass(frozen=True)
class Said:
    """What a prediction says: `sent` as the client writes it, in which `noise` is what the server takes out."""

    sent: float
    noise: bool = False

    @property
    def kept(self) -> float:
        return round(self.sent * 10_000) / 10_000


SAYINGS = (Said(0.25), Said(0.250004), Said(0.25, noise=True), Said(0.2501), Said(0.75))

# What can be wrong with a prediction: the field that is named, {} for its modality, and the reason.
DEFECTS: Mapping[str, tuple[str, str]] = {
    "no chunk": ("chunk_id", "MISSING"),
    "chunk of no time": ("chunk_id", "UNKNOWN_VALUE"),
    "no start": ("capture_start_time", "MISSING"),
    "long before the session": ("capture_start_time", "BAD_CAPTURE_TIME"),
    "end before start": ("capture_end_time", "BAD_CAPTURE_TIME"),
    "over an hour": ("capture_end_time", "BAD_CAPTURE_TIME"),
    "no modality": ("modality", "MISSING"),
    "not a number": ("{}.confidence", "OUT_OF_RANGE"),
    "more than sure": ("{}.confidence", "OUT_OF_RANGE"),
    "no model": ("{}.model_version", "MISSING"),
    "wordy model": ("{}.model_version", "TOO_LONG"),
}


@dataclass(frozen=True)
class Shape:
    """A prediction: which of the session's chunks, with which of two capture windows, and what it says."""

    chunk: int
    modality: int
    window: int
    said: Said
    defect: str | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.chunk, self.modality

    @property
    def kept(self) -> "Shape":
        return replace(self, said=Said(self.said.kept))


# Each sender of a session counts its batches for itself; the numbers of all but the first are moved by this.
NUMBERS = 2**40


@dataclass(frozen=True)
class Batch:
    """`sender` is its place among those of the session."""

    number: int
    shapes: tuple[Shape, ...]
    sender: int = 0

    @property
    def kept_number(self) -> int:
        return self.sender * NUMBERS + self.number


END: Literal["END"] = "END"
Step: TypeAlias = Batch | Literal["END"]
# Index, field, reason.
Refusal: TypeAlias = tuple[int, str, str]


@dataclass(frozen=True)
class Outcome:
    number: int
    accepted: int
    duplicates: int
    refusals: tuple[Refusal, ...] = ()

    @classmethod
    def whole(cls, batch: Batch) -> "Outcome":
        """What is meant by not being named."""
        return cls(batch.number, len(batch.shapes), 0)


SESSION_ENDED = "SESSION_ENDED"
Answer: TypeAlias = Outcome | str | None


@dataclass(frozen=True)
class Kept:
    """A stored prediction, and where in which batch it came."""

    shape: Shape
    number: int
    index: int


# An accepted batch's number and its new predictions, or the end.
Told: TypeAlias = tuple[int, tuple[Shape, ...]] | Literal["END"]


@dataclass(frozen=True)
class World:
    """What a session has come to. `grace` says whether it takes predictions after its end."""

    grace: bool = True
    stored: Mapping[tuple[int, int], Kept] = field(default_factory=dict)
    windows: Mapping[int, int] = field(default_factory=dict)
    ended: bool = False
    feed: tuple[Told, ...] = ()

    def after(self, step: Step) -> tuple["World", Answer]:
        if step == END:
            return (self if self.ended else replace(self, ended=True, feed=(*self.feed, END))), None
        assert isinstance(step, Batch)
        return (self, SESSION_ENDED) if self.is_closed else self._taken(step)

    @property
    def is_closed(self) -> bool:
        return self.ended and not self.grace

    def _taken(self, batch: Batch) -> tuple["World", Outcome]:
        stored, windows = dict(self.stored), dict(self.windows)
        accepted: list[Shape] = []
        refusals: list[Refusal] = []
        duplicates = 0
        for index, shape in enumerate(batch.shapes):
            name = MODALITIES[shape.modality]
            if shape.defect:
                where, reason = DEFECTS[shape.defect]
                refusals.append((index, where.format(name), reason))
            elif windows.setdefault(shape.chunk, shape.window) != shape.window:
                refusals.append((index, "capture_end_time", "CHUNK_INTERVAL_CONFLICT"))
            elif kept := stored.get(shape.key):
                if kept.shape.said == shape.kept.said:
                    duplicates += 1
                else:
                    refusals.append((index, name, "CONFLICT"))
            else:
                stored[shape.key] = Kept(shape.kept, batch.kept_number, index)
                accepted.append(shape.kept)
        told: tuple[Told, ...] = ((batch.kept_number, tuple(accepted)),) if accepted else ()
        world = replace(self, stored=stored, windows=windows, feed=self.feed + told)
        return world, Outcome(batch.number, len(accepted), duplicates, tuple(refusals))


@dataclass(frozen=True)
class Lane:
    """What one client did, in its order, and the answers that it heard to the first steps.

    `lost` says that the client can't know whether the server took the steps after those. Otherwise it took none.
    """

    steps: tuple[Step, ...]
    heard: tuple[Answer, ...]
    lost: bool = False


def explanations(world: World, lanes: Sequence[Lane], feed: Sequence[Told]) -> Iterator[World]:
    """What the session may have come to by these lanes, each in its own order, when its whole feed is `feed`."""
    if world.feed != tuple(feed[: len(world.feed)]):
        return
    if len(world.feed) == len(feed) and all(not lane.heard for lane in lanes):
        yield world
    for place, lane in enumerate(lanes):
        if not lane.steps or not (lane.heard or lane.lost):
            continue
        after, answer = world.after(lane.steps[0])
        if lane.heard and lane.heard[0] != answer:
            continue
        rest = replace(lane, steps=lane.steps[1:], heard=lane.heard[1:])
        yield from explanations(after, [*lanes[:place], rest, *lanes[place + 1 :]], feed)
