"""Reads a story, plays it, and writes it as its reader finds it.

A prediction is `face`, `voice` or `words` of a chunk that lasted from the first of `seconds` to the second.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from services.fusion.explanation import explain
from services.fusion.fold import ChangedResult, ChunkResult, ClientBatch, Models, SessionFold, Standing
from services.fusion.models import read_document
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays, Said, Shown
from services.fusion.science.model import FusionModel, parse_model
from services.fusion.vocabulary import KNOWN_EMOTIONS, CrisisSignal, Emotion, Level, Modality
from tests.fusion import make

FOLDER = Path(__file__).parent
DECIMALS = 12
LINE = 160
NAMES = {Modality.VISION: "face", Modality.AUDIO: "voice", Modality.TEXT: "words"}
MODALITIES = {name: modality for modality, name in NAMES.items()}

Story = dict[str, Any]


def paths() -> list[Path]:
    return sorted(FOLDER.glob("*.json"))


def read(path: Path) -> Story:
    story: Story = json.loads(path.read_text())
    return story


def model_of(story: Story) -> FusionModel:
    return parse_model(read_document(story["model"])).model


def batches_of(story: Story) -> list[ClientBatch]:
    return [
        make.batch(number, *map(_prediction, predictions))
        for number, predictions in enumerate(story["batches"], start=1)
    ]


def chunks_of(story: Story) -> list[ChunkInputs]:
    """As they are when everything has come."""
    chunks: dict[UUID, ChunkInputs] = {}
    for chunk in (one for batch in batches_of(story) for one in batch.chunks):
        known = chunks.get(chunk.chunk_id)
        chunks[chunk.chunk_id] = known.joined(chunk) if known else chunk
    return list(chunks.values())


def played(story: Story) -> Story:
    """With what fusion tells after each batch, and the results when all have come."""
    model = model_of(story)
    session = SessionFold(Models({model.version: model}, model), Standing(), [], {})
    told = []
    for batch in batches_of(story):
        touched = session.merge(batch)
        changed = session.apply(batch.batch_number, touched, fuse_chunks(model, InputArrays.of(touched)))
        told.append([_told(result) for result in changed])
    return {**story, "told": told, "results": [_result(change) for change in session.changes()]}


def written(story: Story) -> str:
    return f"{_text(story)}\n"


def _prediction(line: Mapping[str, Any]) -> make.Prediction:
    start, end = (make.START + timedelta(seconds=seconds) for seconds in line["seconds"])
    ((name, says),) = ((key, value) for key, value in line.items() if key in MODALITIES)
    content = _said(says) if name == "words" else _shown(says)
    return make.Prediction(make.window(line["chunk"]).chunk_id, start, end, MODALITIES[name], content)


def _shown(says: Mapping[str, Any]) -> Shown:
    shares = says.get("distribution")
    distribution = shares and tuple(float(shares.get(emotion.label, 0.0)) for emotion in Emotion)
    return make.shown(Emotion[says["emotion"].upper()], says["distress"], says["confidence"], distribution)


def _said(says: Mapping[str, Any]) -> Said:
    return make.said(
        says["distress"],
        says["confidence"],
        level=Level[says["level"].upper()],
        valence=says.get("valence"),
        deflection=says.get("deflection", False),
        signals=frozenset(CrisisSignal[signal.upper()] for signal in says.get("signals", ())),
    )


def _told(result: ChunkResult) -> str:
    return f"chunk {number_of(result.chunk_id)}, revision {result.revision}: {result.state.level.label}"


def number_of(chunk_id: UUID) -> int:
    return chunk_id.int & 0xFFFF


def _result(change: ChangedResult) -> dict[str, Any]:
    result, finding = change.result, change.finding
    fused, state = result.fused, result.state
    explanation = explain(fused, state)
    return {
        "chunk": number_of(result.chunk_id),
        "revision": result.revision,
        "level": state.level.label,
        "cause": state.cause.value,
        "session_score": _rounded(state.score),
        "score": _rounded(fused.score),
        "logit": _rounded(fused.logit),
        "prior_and_contributions": {
            "prior": _rounded(fused.prior_logit),
            **{NAMES[part.modality]: _rounded(part.logit) for part in fused.contributions},
        },
        "confidence": _rounded(fused.confidence),
        "emotions": None
        if fused.emotions is None
        else {emotion.label: _rounded(share) for emotion, share in zip(KNOWN_EMOTIONS, fused.emotions, strict=True)},
        "dissonance": {
            "direction": fused.direction.label,
            "score": _rounded(fused.dissonance_score),
            "said_valence": fused.said_valence,
            "shown_valence": None if fused.shown_valence is None else _rounded(fused.shown_valence),
            "finding": finding and finding.interpretation,
            "evidence": [number_of(chunk_id) for chunk_id in (finding.evidence if finding else ())],
        },
        "reason": result.standing.reason,
        "summary": explanation.summary,
        "action": explanation.recommended_action.label,
    }


def _rounded(value: float) -> float:
    return round(value, DECIMALS) + 0.0  # no -0.0


def _text(value: Any, indent: int = 0, key: str = "") -> str:
    """JSON that breaks only what doesn't fit in a line, and always the parts that are the story's lists."""
    line = json.dumps(value)
    is_short = indent + len(key) + len(line) <= LINE and not (indent <= 2 and isinstance(value, list | dict))
    if is_short or not isinstance(value, list | dict) or not value:
        return f"{key}{line}"
    inner = indent + 2
    if isinstance(value, dict):
        parts = [_text(part, inner, f"{json.dumps(name)}: ") for name, part in value.items()]
        return _block(key, "{", parts, "}", indent)
    return _block(key, "[", [_text(part, inner) for part in value], "]", indent)


def _block(key: str, opening: str, parts: Sequence[str], closing: str, indent: int) -> str:
    lines = ",\n".join(f"{' ' * (indent + 2)}{part}" for part in parts)
    return f"{key}{opening}\n{lines}\n{' ' * indent}{closing}"
