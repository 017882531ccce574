"""False alarms of masking on clips where nobody masks, and a synthetic set in which somebody does."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.science.clip_events import Statement
from bench.science.crema_d import LETTERS, Clips
from quietus_edge.cues import extract
from quietus_edge.simulation.crema_d import FACE_VOTES, VOICE_VOTES
from services.fusion.science.inputs import Floats
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion

SYNTHETIC = Path(__file__).parent / "data" / "synthetic_masking.csv"

# The twelve sentences of CREMA-D by the second part of a clip's name (Cao et al. 2014). They were chosen to be neutral.
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to a meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
# What a text model may say of a neutral sentence.
NEUTRAL_VALENCES = (-0.1, 0.0, 0.1)
# Words that are positive over a face and a voice that mean to be neutral or happy: nothing is masked there either.
POSITIVE_VALENCES = (0.2, 0.5)
PLEASANT = [KNOWN_EMOTIONS.index(emotion) for emotion in (Emotion.NEUTRAL, Emotion.HAPPY)]


def neutral_statements(clips: Clips) -> Mapping[str, Sequence[Statement]]:
    """By what is said: one statement a clip. The sentence that the clip speaks is measured as a device does."""
    spoken = {code: _measured(sentence) for code, sentence in SENTENCES.items()}
    codes = [str(name).split("_")[1] if "_" in str(name) else "" for name in clips.name]
    return {
        "the sentence of the clip": [spoken.get(code, Statement(0.0)) for code in codes],
        **{f"valence {valence:+.1f}": [Statement(valence)] * len(clips) for valence in NEUTRAL_VALENCES},
    }


def positive_statements(clips: Clips) -> Mapping[str, Sequence[Statement]]:
    return {f"valence {valence:+.1f}": [Statement(valence)] * len(clips) for valence in POSITIVE_VALENCES}


def _measured(sentence: str) -> Statement:
    found = extract(sentence)
    return Statement(found.valence or 0.0, tuple(found.cues.deflections))


@dataclass(frozen=True)
class Grade:
    """How much of what is felt shows: the share of raters who see or hear something unpleasant."""

    name: str
    least: float
    most: float


# Below, most people see and hear nothing unpleasant either: there is no mask to find.
GRADES = (Grade("mild", 0.6, 0.7), Grade("moderate", 0.7, 0.8), Grade("marked", 0.8, 0.9), Grade("strong", 0.9, 1.0))
FELT = (Emotion.SAD, Emotion.ANGRY, Emotion.FEAR, Emotion.DISGUST)
CHANNELS = ("both", "both", "face", "voice")
CASES = 6  # of each grade, emotion and channel
RATERS = 10
# What the other raters see and hear: a face at rest or with a smile put on, a calm voice.
COVER = {"face": {"neutral": 0.7, "happy": 0.3}, "voice": {"neutral": 0.9, "happy": 0.1}}
# What people say who hide something; devices measure it. The last are flat: their valence is 0.2 or less.
MASKS = (
    "I'm fine, really",
    "I'm good, thanks",
    "Everything is fine",
    "Niko sawa",
    "Niko poa sana",
    "No worries, I'm alright",
    "Things are going really well",
    "Work is going well, thank you",
    "It was nice to see everyone",
    "I slept well and feel rested",
    "I'm happy with how it went",
    "We laughed a lot yesterday",
    "Could be worse, it's all good",
    "I'm just a bit tired, but I'm fine",
    "Don't worry about me",
    "It's nothing",
)
SEED = 2014


@dataclass(frozen=True)
class SyntheticCases:
    """n cases of masking that a program made up; nobody was ever observed."""

    grade: Sequence[str]
    clips: Clips
    statements: Sequence[Statement]


def synthesized() -> Iterator[dict[str, object]]:
    """Rows of the file. In each case somebody feels one emotion, says something else, and a share of ten raters sees or
    hears what raters of CREMA-D say of that emotion when they recognise it or take it for another unpleasant one.
    """
    rng = np.random.default_rng(SEED)
    kinds = [(grade, felt, channel) for grade in GRADES for felt in FELT for channel in CHANNELS for _ in range(CASES)]
    for number, (grade, felt, channel) in enumerate(kinds, start=1):
        row: dict[str, object] = {
            "case": f"synthetic_{number:03}",
            "grade": grade.name,
            "felt": felt.label,
            "channel": channel,
            "said": MASKS[rng.integers(len(MASKS))],
        }
        for name, votes in (("voice", VOICE_VOTES), ("face", FACE_VOTES)):
            share = rng.uniform(grade.least, grade.most)
            counts = rng.multinomial(RATERS, _perceived(votes[felt.label], COVER[name], share))
            shows = channel in ("both", name)
            row |= {f"{name}_{letter}": int(shows) * int(count) for letter, count in zip(LETTERS, counts, strict=True)}
        yield row


def _perceived(votes: Sequence[int], cover: Mapping[str, float], share: float) -> Floats:
    unpleasant = np.array([count * (emotion in FELT) for emotion, count in zip(KNOWN_EMOTIONS, votes, strict=True)])
    covering = np.array([cover.get(emotion.label, 0.0) for emotion in KNOWN_EMOTIONS])
    rates: Floats = share * unpleasant / unpleasant.sum() + (1.0 - share) * covering
    return rates


def write_synthetic(path: Path) -> int:
    rows = list(synthesized())
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def synthetic_cases(path: Path = SYNTHETIC) -> SyntheticCases:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    n = len(rows)
    clips = Clips(
        name=np.array([row["case"] for row in rows], np.str_),
        actor=np.arange(n),
        intended=np.array([KNOWN_EMOTIONS.index(Emotion[row["felt"].upper()]) for row in rows], np.int64),
        voice=_shares(rows, "voice"),
        face=_shares(rows, "face"),
        panel=np.zeros((n, len(LETTERS))),
        missing_audio=np.zeros(n, np.bool_),
    )
    measured = {sentence: _measured(sentence) for sentence in {row["said"] for row in rows}}
    return SyntheticCases([row["grade"] for row in rows], clips, [measured[row["said"]] for row in rows])


def _shares(rows: Sequence[Mapping[str, str]], channel: str) -> Floats:
    votes = np.array([[float(row[f"{channel}_{letter}"]) for letter in LETTERS] for row in rows])
    shares: Floats = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1.0)
    return shares
