"""Replays CREMA-D (Cao et al. 2014, ODbL 1.0): a clip is a chunk with voice and face predictions, an actor a person."""

import asyncio
import csv
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from tqdm import tqdm

from bench.science import crema_d
from bench.science.clip_events import fused_emotions
from bench.science.crema_d import Clips
from bench.science.emotion_fit import leave_actors_out
from deploy.demo import weeks
from deploy.demo.people import CALL_SECONDS, Person, edge_client, make_counselor, make_person
from deploy.demo.suite import Suite
from quietus.common.v1.types_pb2 import Emotion
from quietus.fusion.v1.fusion_pb2 import ListFusionResultsRequest
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus_edge import Audio, Chunk, Vision
from services.fusion.science.inputs import Floats

LETTERS = {"N": "neutral", "H": "happy", "S": "sad", "A": "angry", "F": "fear", "D": "disgust"}
CLIP = timedelta(seconds=10)
MODEL_VERSION = "crema-d-raters"
PEOPLE_AT_ONCE = 8
# Votes say nothing of distress; both scores stay at the middle, and only the emotion is judged.
NO_OPINION = 0.5


@dataclass(frozen=True)
class Figures:
    """Shares of clips in [0, 1]; ties share the credit."""

    intended: float
    panel: float


async def replay(suite: Suite, votes: Path, as_json: bool) -> None:
    with votes.open(newline="") as file:
        rows = list(csv.DictReader(file))
    clips = crema_d.load(votes)
    counselor = await make_counselor(suite)
    limit = asyncio.Semaphore(PEOPLE_AT_ONCE)
    shares = np.zeros(clips.panel.shape)
    with tempfile.TemporaryDirectory() as spools, tqdm(total=len(clips), unit=" clips", file=sys.stderr) as bar:

        async def one(actor: int) -> None:
            async with limit:
                person = await make_person(suite, f"actor {actor}", counselor)
                own = np.flatnonzero(clips.actor == actor)
                spool = Path(spools) / str(actor)
                shares[own] = await _stream_and_read(suite, person, [rows[i] for i in own], spool, bar.update)

        await asyncio.gather(*(one(actor) for actor in set(clips.actor.tolist())))
    figures = {
        "fused, shipped weights (in-sample)": _figures(clips, shares),
        "fused, actors left out": _figures(clips, _left_out(clips)),
        "voice alone": _figures(clips, clips.voice),
        "face alone": _figures(clips, clips.face),
    }
    _report(figures, len(clips), as_json)


def _left_out(clips: Clips) -> Floats:
    """Each actor fused by weights that were fitted without the actor."""
    shares = np.zeros(clips.panel.shape)
    for held_out in leave_actors_out(clips):
        own = np.isin(clips.actor, list(held_out.actors))
        shares[own] = fused_emotions(held_out.model, clips.where(own))
    return shares


async def _stream_and_read(
    suite: Suite, person: Person, rows: list[dict[str, str]], spool: Path, progress: Callable[[int], object]
) -> Floats:
    start = datetime.now(UTC) - len(rows) * CLIP
    chunks = [Chunk.between(start + number * CLIP, start + (number + 1) * CLIP) for number in range(len(rows))]
    client = edge_client(suite, person, spool)
    async with client as edge:
        async with edge.session(start=start) as session:
            for chunk, row in zip(chunks, rows, strict=True):
                await session.record(vision=_vision(row), audio=_audio(row), chunk=chunk)
                progress(1)
        await edge.flush(weeks.FLUSH_SECONDS)
        session_id = session.session_id
    await weeks.fused(suite, person, session_id)
    return await _read_emotions(suite, person, session_id, [chunk.chunk_id for chunk in chunks])


async def _read_emotions(suite: Suite, person: Person, session_id: UUID, chunk_ids: list[UUID]) -> Floats:
    """Probabilities (clips, 6) in the order of the file's letters as bench.science has them."""
    stub = FusionServiceStub(suite.channels["fusion"])
    names = [LETTERS[letter] for letter in crema_d.LETTERS]
    by_chunk: dict[str, list[float]] = {}
    page_token = ""
    while True:
        page = await stub.ListFusionResults(
            ListFusionResultsRequest(session_id=str(session_id), page_size=1000, page_token=page_token),
            metadata=person.token,
            timeout=CALL_SECONDS,
        )
        for result in page.results:
            labels = [Emotion.Name(label).removeprefix("EMOTION_").lower() for label in result.emotions.labels]
            shares = dict(zip(labels, result.emotions.probabilities, strict=True))
            by_chunk[result.chunk_id] = [shares.get(name, 0.0) for name in names]
        page_token = page.next_page_token
        if not page_token:
            return np.array([by_chunk[str(chunk_id)] for chunk_id in chunk_ids])


def _distribution(row: Mapping[str, str], condition: str) -> dict[str, float]:
    votes = {name: float(row[f"{condition}_{letter}"]) for letter, name in LETTERS.items()}
    total = sum(votes.values())
    return {name: count / total for name, count in votes.items()}


def _vision(row: Mapping[str, str]) -> Vision:
    shares = _distribution(row, "face")
    leading = max(shares, key=lambda name: shares[name])
    return Vision(
        emotion=leading,
        confidence=shares[leading],
        distress_score=NO_OPINION,
        model_version=MODEL_VERSION,
        distribution=shares,
    )


def _audio(row: Mapping[str, str]) -> Audio:
    shares = _distribution(row, "voice")
    leading = max(shares, key=lambda name: shares[name])
    return Audio(
        emotion=leading,
        confidence=shares[leading],
        stress_score=NO_OPINION,
        model_version=MODEL_VERSION,
        distribution=shares,
    )


def _figures(clips: Clips, shares: Floats) -> Figures:
    return Figures(crema_d.hit_share(clips.intended, shares), crema_d.panel_agreement(clips, shares))


def _report(figures: Mapping[str, Figures], clips: int, as_json: bool) -> None:
    if as_json:
        values = {name: {"intended": f.intended, "panel": f.panel} for name, f in figures.items()}
        print(json.dumps({"clips": clips, "figures": values}))
        return
    print(f"\n{clips} clips\n  {'':<36}intended  panel's plurality")
    for name, figure in figures.items():
        print(f"  {name:<36}{figure.intended:>7.1%}  {figure.panel:>7.1%}")
