"""CREMA-D: raters' votes on acted clips heard, seen, and both (Cao et al. 2014, ODbL 1.0).

Votes heard alone and votes seen alone are two real, noisy predictions of the same moment.
"""

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.fusion.science.inputs import Booleans, Floats, Integers

# The letters of the file in the order of KNOWN_EMOTIONS.
LETTERS = "NHSAFD"
CONDITIONS = ("voice", "face", "av")
MISSING_AUDIO = "av_missing_audio.txt"
_COLUMNS = ("fileName", "actor", "intended", *(f"{name}_{letter}" for name in CONDITIONS for letter in LETTERS))


class VotesError(ValueError):
    """The file is not of the format, or holds too little; the message says where."""


@dataclass(frozen=True)
class Clips:
    """n clips. Shares of votes are (n, 6) in the order of KNOWN_EMOTIONS, all 0 where nobody voted; `intended` indexes
    it.
    """

    name: NDArray[np.str_]
    actor: Integers
    intended: Integers
    voice: Floats
    face: Floats
    panel: Floats
    missing_audio: Booleans  # the panel may have seen it without hearing it

    def __len__(self) -> int:
        return len(self.actor)

    def where(self, rows: Booleans) -> "Clips":
        return Clips(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def has_voice(self) -> Booleans:
        return _voted(self.voice)

    @property
    def has_face(self) -> Booleans:
        return _voted(self.face)

    @property
    def has_panel(self) -> Booleans:
        return _voted(self.panel)


def _voted(shares: Floats) -> Booleans:
    voted: Booleans = shares.max(axis=1) > 0.0
    return voted


def load(path: Path, missing_audio: Path | None = None) -> Clips:
    """VotesError. `missing_audio` names clips, one a line; without it the file of that purpose beside `path`, if it is
    there.
    """
    rows = _rows(path)
    return Clips(
        name=np.array([row["fileName"] for row in rows], np.str_),
        actor=np.array([_actor(path, line, row) for line, row in enumerate(rows, start=2)], np.int64),
        intended=np.array([_intended(path, line, row) for line, row in enumerate(rows, start=2)], np.int64),
        voice=_shares(path, rows, "voice"),
        face=_shares(path, rows, "face"),
        panel=_shares(path, rows, "av"),
        missing_audio=np.isin([row["fileName"] for row in rows], list(_named(path, missing_audio))),
    )


def _rows(path: Path) -> Sequence[Mapping[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""), strict=True)
        lacking = set(_COLUMNS) - set(reader.fieldnames or ())
        if lacking:
            raise VotesError(f"{path}: the columns {', '.join(sorted(lacking))} are missing")
        rows = list(reader)
    except UnicodeDecodeError:
        raise VotesError(f"{path}: not UTF-8") from None
    except csv.Error as error:
        raise VotesError(f"{path}: not CSV: {error}") from None
    if not rows:
        raise VotesError(f"{path}: it holds no clip")
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise VotesError(f"{path}: line {line}: another number of fields than the header has")
        if row["fileName"] in seen:
            raise VotesError(f"{path}: line {line}: a second clip of this fileName")
        seen.add(row["fileName"])
    return rows


def _actor(path: Path, line: int, row: Mapping[str, str]) -> int:
    try:
        return int(row["actor"])
    except ValueError:
        raise VotesError(f"{path}: line {line}: actor is no number") from None


def _intended(path: Path, line: int, row: Mapping[str, str]) -> int:
    place = LETTERS.find(row["intended"]) if len(row["intended"]) == 1 else -1
    if place < 0:
        raise VotesError(f"{path}: line {line}: intended is none of {', '.join(LETTERS)}")
    return place


def _shares(path: Path, rows: Sequence[Mapping[str, str]], condition: str) -> Floats:
    votes = np.array(
        [
            [_votes(path, line, row, f"{condition}_{letter}") for letter in LETTERS]
            for line, row in enumerate(rows, start=2)
        ]
    )
    total = votes.sum(axis=1, keepdims=True)
    shares: Floats = votes / np.where(total > 0.0, total, 1.0)
    return shares


def _votes(path: Path, line: int, row: Mapping[str, str], column: str) -> float:
    try:
        votes = float(row[column])
    except ValueError:
        votes = math.nan
    if not 0.0 <= votes < math.inf:
        raise VotesError(f"{path}: line {line}: {column} is no number of votes")
    return votes


def _named(votes: Path, missing_audio: Path | None) -> Collection[str]:
    path = missing_audio or votes.with_name(MISSING_AUDIO)
    if missing_audio is None and not path.is_file():
        return ()
    try:
        return {line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise VotesError(f"{path}: {error}") from None


def hits(truth: Integers, shares: Floats) -> Floats:
    """(n,): 1 where the greatest share is the truth, 0 where it isn't; ties share the credit."""
    best = shares == shares.max(axis=1, keepdims=True)
    credit: Floats = best[np.arange(len(truth)), truth] / best.sum(axis=1)
    return credit


def hit_share(truth: Integers, shares: Floats) -> float:
    """How often the greatest share is the truth, ties sharing the credit."""
    return float(hits(truth, shares).mean())


def panel_agreement(clips: Clips, probabilities: Floats) -> float:
    """How often the likeliest emotion is what most of those said who saw and heard the clip, ties sharing the
    credit.
    """
    return hit_share(probabilities.argmax(axis=1), clips.panel)
