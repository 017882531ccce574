from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from quietus.common.v1.types_pb2 import EMOTION_SAD, RISK_LEVEL_LOW
from quietus.ingest.v1 import predictions_pb2 as contract
from quietus_edge import Chunk, TextCues, VoiceFeatures
from quietus_edge.errors import InvalidInputError
from quietus_edge.messages import points_to_danger, predictions
from tests.edge.make import NOW, audio, chunk, danger, text, vision


def one(**modality: Any) -> contract.Prediction:
    given = {"vision": None, "audio": None, "text": None, "seal": None} | modality
    (made,) = predictions(chunk(), given["vision"], given["audio"], given["text"], given["seal"])
    return made


def test_all_modalities_share_the_chunk() -> None:
    at = chunk()
    made = predictions(at, vision(), audio(), text(), None)
    assert [prediction.WhichOneof("modality") for prediction in made] == ["vision", "audio", "text"]
    assert {UUID(prediction.chunk_id) for prediction in made} == {at.chunk_id}
    assert {prediction.capture_end_time.ToDatetime(tzinfo=UTC) for prediction in made} == {at.end}


def test_scores_are_normalised_before_they_are_kept() -> None:
    made = one(vision=vision(confidence=0.123456, distress_score=0.00005)).vision
    assert (made.emotion, made.confidence, made.distress_score) == (EMOTION_SAD, 0.1235, 0.0)


def test_what_was_not_measured_stays_unset() -> None:
    made = one(audio=audio(features=VoiceFeatures(pitch_mean=180.0))).audio
    assert made.features.HasField("pitch_mean")
    assert not made.features.HasField("pause_ratio")
    assert not one(text=text()).text.HasField("valence")
    assert not one(text=text()).text.HasField("cues")


def test_cues_keep_names_and_shares() -> None:
    cues = TextCues(language="sw", deflections=["niko_sawa"], negation=0.25, crisis_signals=["farewell"])
    made = one(text=text(cues=cues)).text
    assert made.risk_level == RISK_LEVEL_LOW
    assert (made.cues.language, list(made.cues.deflections), made.cues.negation) == ("sw", ["niko_sawa"], 0.25)
    assert list(made.cues.crisis_signals) == [contract.CRISIS_SIGNAL_FAREWELL]


def test_a_transcript_is_sealed_or_discarded() -> None:
    sealed = one(text=text(transcript="words"), seal=lambda words: b"sealed " + words[::-1].encode()).text
    assert (sealed.transcript_state, sealed.sealed_transcript) == (
        contract.TRANSCRIPT_STATE_SEALED,
        b"sealed sdrow",
    )
    discarded = one(text=text(transcript="words")).text
    assert (discarded.transcript_state, discarded.sealed_transcript) == (contract.TRANSCRIPT_STATE_NO_KEY, b"")
    assert one(text=text()).text.transcript_state == contract.TRANSCRIPT_STATE_NOT_KEPT


def test_a_transcript_shows_in_no_representation() -> None:
    said = text(transcript="a marker")
    assert "a marker" not in repr(said)
    assert asdict(said)["transcript"] == "a marker"


@pytest.mark.parametrize(
    ("modality", "field"),
    [
        ({"vision": vision(confidence=1.1)}, "vision.confidence"),
        ({"vision": vision(confidence=float("nan"))}, "vision.confidence"),
        ({"vision": vision(distress_score=float("inf"))}, "vision.distress_score"),
        ({"vision": vision(distress_score=-0.1)}, "vision.distress_score"),
        ({"vision": vision(emotion="bored")}, "vision.emotion"),
        ({"vision": vision(emotion="unspecified")}, "vision.emotion"),
        ({"vision": vision(model_version="")}, "vision.model_version"),
        ({"vision": vision(model_version="x" * 65)}, "vision.model_version"),
        ({"vision": vision(distribution={"sad": 0.5, "happy": 0.4})}, "vision.distribution"),
        ({"vision": vision(distribution={"sad": 1.5, "happy": -0.5})}, "vision.distribution"),
        ({"vision": vision(distribution={"sad": float("nan")})}, "vision.distribution"),
        ({"audio": audio(features=VoiceFeatures(pitch_mean=-1))}, "audio.features.pitch_mean"),
        ({"text": text(risk_level="extreme")}, "text.risk_level"),
        ({"text": text(valence=-1.5)}, "text.valence"),
        ({"text": text(cues=TextCues(topics=["x"] * 9))}, "text.cues.topics"),
        ({"text": text(cues=TextCues(crisis_signals=["joy"]))}, "text.cues.crisis_signals"),
        ({"text": text(transcript="x"), "seal": lambda _: b"x" * 70_000}, "text.sealed_transcript"),
    ],
)
def test_what_no_service_would_take_is_named(modality: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field.replace(".", r"\.")):
        one(**modality)


def test_a_record_needs_a_modality() -> None:
    with pytest.raises(InvalidInputError, match="vision, audio or text"):
        predictions(chunk(), None, None, None, None)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW, NOW - timedelta(seconds=1)),
        (NOW, NOW + timedelta(hours=2)),
        (NOW.replace(tzinfo=None), NOW.replace(tzinfo=None)),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidInputError):
        Chunk.between(start, end)


def test_danger_is_a_level_a_signal_or_a_high_score() -> None:
    assert points_to_danger(predictions(chunk(), None, None, danger(), None))
    assert points_to_danger(predictions(chunk(), vision(distress_score=0.8), None, None, None))
    assert points_to_danger(predictions(chunk(), None, audio(stress_score=0.75), None, None))
    assert points_to_danger(
        predictions(chunk(), None, None, text(cues=TextCues(crisis_signals=["hopelessness"])), None)
    )
    assert not points_to_danger(predictions(chunk(), vision(), audio(), text(), None))
