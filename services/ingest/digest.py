"""Whether two copies of a prediction say the same: SHA-256 over the normalised fields, never over protobuf bytes.

Stored rows are compared by it, so the layout never changes. It holds the fields of the contract in number order,
numbers big-endian:

    prediction    chunk id, 16 bytes · capture start, int64 · capture end, int64 (microseconds since 1970)
                  · modality, uint8 (1 vision, 2 audio, 3 text), then one of:
    vision        emotion, uint8 · confidence, score · distress, score · frames, uint32 · distribution
                  · model version, string
    audio         emotion, uint8 · stress, score · confidence, score · distribution · features · model version, string
    text          risk level, uint8 · distress, score · confidence, score · valence, optional score · cues
                  · sealed transcript, uint32 length and bytes · transcript state, uint8 · model version, string

    score         ten-thousandths, int16
    optional x    uint8 0, or uint8 1 and x
    string        UTF-8 length, uint16 · bytes
    distribution  count, uint8 (0: none) · labels, uint8 each · probabilities, float32 each
    features      uint8 0, or uint8 1 and eight times optional float32
    cues          uint8 0, or uint8 1 · extractor version, string · language, string · code switching, uint8
                  · deflections, topics, coping, each count uint8 and strings
                  · first person, negation, absolutes, each optional float32 · crisis signals, count uint8
                  and uint8 each

A transcript counts as the edge sealed it.
"""

from hashlib import sha256
from struct import Struct

from services.ingest.content import Audio, Chunk, Content, Cues, Distribution, Features, Modality, Text, Vision

_VISION = Struct(">16sqqBBhhI")
_AUDIO = Struct(">16sqqBBhh")
_TEXT = Struct(">16sqqBBhh")
_SCORE = Struct(">Bh")
_FLOAT = Struct(">Bf")
_LENGTH = Struct(">H")
_LONG_LENGTH = Struct(">I")
_DISTRIBUTIONS = tuple(Struct(f">B{count}B{count}f") for count in range(11))
_NOTHING = b"\x00"


def content_digest(chunk: Chunk, content: Content) -> bytes:
    """32 bytes."""
    if isinstance(content, Vision):
        return sha256(_vision(chunk, content)).digest()
    if isinstance(content, Audio):
        return sha256(_audio(chunk, content)).digest()
    return sha256(_text(chunk, content)).digest()


def _vision(chunk: Chunk, content: Vision) -> bytes:
    emotion, confidence, distress_score, frames_processed, distribution, model_version = content
    return (
        _VISION.pack(*chunk, Modality.VISION, emotion, confidence, distress_score, frames_processed)
        + _distribution(distribution)
        + _string(model_version)
    )


def _audio(chunk: Chunk, content: Audio) -> bytes:
    emotion, stress_score, confidence, distribution, features, model_version = content
    return (
        _AUDIO.pack(*chunk, Modality.AUDIO, emotion, stress_score, confidence)
        + _distribution(distribution)
        + _features(features)
        + _string(model_version)
    )


def _text(chunk: Chunk, content: Text) -> bytes:
    level, distress_probability, confidence, valence, cues, transcript, state, model_version = content
    return b"".join(
        (
            _TEXT.pack(*chunk, Modality.TEXT, level, distress_probability, confidence),
            _NOTHING if valence is None else _SCORE.pack(1, valence),
            _cues(cues),
            _LONG_LENGTH.pack(len(transcript)),
            transcript,
            bytes((state,)),
            _string(model_version),
        )
    )


def _distribution(value: Distribution | None) -> bytes:
    if value is None:
        return _NOTHING
    labels, probabilities = value
    count = len(labels)
    return _DISTRIBUTIONS[count].pack(count, *labels, *probabilities)


def _features(values: Features | None) -> bytes:
    return _NOTHING if values is None else b"\x01" + b"".join([_float(value) for value in values])


def _cues(cues: Cues | None) -> bytes:
    if cues is None:
        return _NOTHING
    version, language, code_switching, deflections, topics, coping, first_person, negation, absolutes, signals = cues
    return b"".join(
        (
            b"\x01",
            _string(version),
            _string(language),
            b"\x01" if code_switching else _NOTHING,
            _strings(deflections),
            _strings(topics),
            _strings(coping),
            _float(first_person),
            _float(negation),
            _float(absolutes),
            bytes((len(signals), *signals)),
        )
    )


def _strings(values: tuple[str, ...]) -> bytes:
    return bytes((len(values),)) + b"".join([_string(value) for value in values])


def _string(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def _float(value: float | None) -> bytes:
    return _NOTHING if value is None else _FLOAT.pack(1, value)
