"""A session once more, written apart from the service: nothing is carried from chunk to chunk but the level, each sum
is taken anew over everything that was captured before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.fusion.science.inputs import ChunkInputs
from services.fusion.science.model import FusionModel, SessionPolicy
from tests.fusion.reference import Reference, reference

LEVELS = ("low", "medium", "high", "critical")


@dataclass
class ReferenceState:
    """Where a session stands after a chunk."""

    chunk_id: UUID
    fused: Reference
    score: float
    level: str
    cause: str
    finding: str | None
    finding_level: str | None
    evidence: list[UUID]


def reference_session(model: FusionModel, chunks: Sequence[ChunkInputs]) -> list[ReferenceState]:
    """In the order of capture, whatever the order of `chunks`."""
    ordered = sorted(chunks, key=lambda chunk: (chunk.capture_end_time, chunk.chunk_id.bytes))
    fused = [reference(model, chunk) for chunk in ordered]
    states: list[ReferenceState] = []
    level = "low"
    for place, chunk in enumerate(ordered):
        score = _smoothed(model, ordered[: place + 1], fused[: place + 1])
        level = _by_score(model.session, level, score)
        level, cause = _with_cues(model.session, ordered[: place + 1], fused[: place + 1], level)
        finding, finding_level, evidence = _finding(model, ordered[: place + 1], fused[: place + 1])
        states.append(
            ReferenceState(chunk.chunk_id, fused[place], score, level, cause, finding, finding_level, evidence)
        )
    return states


def _smoothed(model: FusionModel, chunks: Sequence[ChunkInputs], fused: Sequence[Reference]) -> float:
    """The mean logit, each chunk weighing its evidence x seconds x exp(-age / memory), and the prior a few seconds."""
    policy = model.session
    now = chunks[-1].capture_end_time
    total, weights = policy.prior_seconds * fused[-1].prior_logit, policy.prior_seconds
    for chunk, one in zip(chunks, fused, strict=True):
        seconds = (chunk.capture_end_time - chunk.capture_start_time).total_seconds()
        seconds = min(max(seconds, policy.minimum_chunk_seconds), policy.maximum_chunk_seconds)
        age = (now - chunk.capture_end_time).total_seconds()
        weight = one.evidence * seconds * math.exp(-age / policy.memory_seconds)
        total += weight * one.logit
        weights += weight
    return 1 / (1 + math.exp(-total / weights))


def _by_score(policy: SessionPolicy, before: str, score: float) -> str:
    kept = LEVELS.index(before)
    while kept and score < policy.leave[LEVELS[kept]]:
        kept -= 1
    while kept < 3 and score >= policy.enter[LEVELS[kept + 1]]:
        kept += 1
    return LEVELS[kept]


def _with_cues(
    policy: SessionPolicy, chunks: Sequence[ChunkInputs], fused: Sequence[Reference], level: str
) -> tuple[str, str]:
    now = chunks[-1].capture_end_time
    hold = timedelta(seconds=policy.cue_hold_seconds)
    held = {one.floor for chunk, one in zip(chunks, fused, strict=True) if now <= chunk.capture_end_time + hold}
    if "critical" in held:
        return "critical", "CRISIS_CUE" if fused[-1].floor == "critical" else "CRISIS_CUE_HELD"
    if "high" in held and level in ("low", "medium"):
        return "high", "WARNING_CUE" if fused[-1].floor == "high" else "WARNING_CUE_HELD"
    return level, "SCORE"


def _finding(
    model: FusionModel, chunks: Sequence[ChunkInputs], fused: Sequence[Reference]
) -> tuple[str | None, str | None, list[UUID]]:
    rules, direction = model.dissonance, fused[-1].direction
    if direction not in ("masking", "coping"):
        return None, None, []
    judged = [(chunk.chunk_id, one.direction) for chunk, one in zip(chunks, fused, strict=True)]
    judged = [pair for pair in judged if pair[1] != "unclear"][-rules.window_chunks :]
    evidence = [chunk_id for chunk_id, other in judged if other == direction]
    if len(evidence) >= rules.persistent_chunks:
        how_long, level = "PERSISTENT", "high" if fused[-1].dissonance_score >= rules.grave_score else "medium"
    elif len(evidence) >= rules.repeated_chunks:
        how_long, level = "REPEATED", "medium"
    else:
        how_long, level = "MOMENT", "low"
    return f"{direction.upper()}_{how_long}", level if direction == "masking" else "low", evidence
