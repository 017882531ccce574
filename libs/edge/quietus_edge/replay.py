"""The file format of `replay`: JSON Lines, one chunk a line.

    {"session": "monday", "start": "2025-03-03T09:00:00Z", "end": "2025-03-03T09:00:05Z",
     "vision": {"emotion": "sad", "confidence": 0.8, "distress_score": 0.4, "model_version": "face-1"},
     "audio": {..., "features": {"pitch_mean": 182.0}}, "text": {..., "cues": {"language": "en"}, "transcript": "..."}}

`vision`, `audio` and `text` hold the fields of Vision, Audio and Text; at least one is there. Lines of one session
stand together; without `session` the whole file is one. Without `start` and `end` a chunk ends when it is replayed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from quietus_edge import messages
from quietus_edge.errors import InvalidInputError
from quietus_edge.predictions import Audio, Chunk, Text, TextCues, Vision, VoiceFeatures

FIELDS = frozenset({"session", "start", "end", "vision", "audio", "text"})

Made = TypeVar("Made")


@dataclass(frozen=True)
class Line:
    """One chunk of a file; `number` counts from 1. `chunk` is None when the line has no times."""

    number: int
    session: str
    chunk: Chunk | None
    vision: Vision | None
    audio: Audio | None
    text: Text | None


@dataclass(frozen=True)
class CheckedFile:
    """A file in which every line is valid. `digest` names its content."""

    path: Path
    digest: str
    lines: int


def check_file(path: Path) -> CheckedFile:
    """Reads it through once. InvalidInputError names the first line that no service would take, and why."""
    digest = hashlib.sha256()
    lines = 0
    now = datetime.now(UTC)
    with path.open("rb") as file:
        for content in file:
            digest.update(content)
    for line in read_lines(path):
        try:
            messages.predictions(line.chunk or Chunk.between(now, now), line.vision, line.audio, line.text, None)
        except (TypeError, ValueError, InvalidInputError) as error:
            raise InvalidInputError(f"line {line.number}: {error}") from error
        lines += 1
    return CheckedFile(path, digest.hexdigest(), lines)


def read_lines(path: Path) -> Iterator[Line]:
    """Blank lines are skipped. InvalidInputError names a line that isn't of this format."""
    with path.open(encoding="utf-8") as file:
        for number, content in enumerate(file, 1):
            if content.strip():
                try:
                    yield _line(number, json.loads(content))
                except (TypeError, ValueError, InvalidInputError) as error:
                    raise InvalidInputError(f"line {number}: {error}") from error


def written(session: str, chunk: Chunk, vision: Vision | None, audio: Audio | None, text: Text | None) -> str:
    """One line, without what is empty."""
    times = {"session": session, "start": chunk.start.isoformat(), "end": chunk.end.isoformat()}
    modalities = {"vision": vision, "audio": audio, "text": text}
    return json.dumps(times | {name: _filled(asdict(one)) for name, one in modalities.items() if one})


def _line(number: int, content: Any) -> Line:
    if not isinstance(content, dict):
        raise InvalidInputError("a line is one JSON object")
    if unknown := content.keys() - FIELDS:
        raise InvalidInputError(f"unknown field {min(unknown)}; known are {', '.join(sorted(FIELDS))}")
    return Line(
        number,
        str(content.get("session", "")),
        _chunk(content),
        _made(Vision, content.get("vision")),
        _made(Audio, content.get("audio"), features=VoiceFeatures),
        _made(Text, content.get("text"), cues=TextCues),
    )


def _chunk(content: Mapping[str, Any]) -> Chunk | None:
    if "start" not in content and "end" not in content:
        return None
    if "start" not in content or "end" not in content:
        raise InvalidInputError("start and end come together")
    return Chunk.between(datetime.fromisoformat(content["start"]), datetime.fromisoformat(content["end"]))


def _made(kind: Callable[..., Made], fields: Any, **nested: Callable[..., Any]) -> Made | None:
    if fields is None:
        return None
    if not isinstance(fields, dict):
        raise InvalidInputError("vision, audio, text, features and cues are JSON objects")
    inner = {name: _made(inside, fields.get(name)) for name, inside in nested.items()}
    return kind(**fields | {name: made for name, made in inner.items() if made is not None})


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _filled(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return {name: value for name, value in kept.items() if value not in (None, {}, [], (), "")}
