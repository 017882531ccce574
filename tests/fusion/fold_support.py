"""Folds batches without a database."""

from collections.abc import Sequence

from services.fusion.fold import ChunkResult, ClientBatch, SessionFold, Standing
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from tests.fusion import make


def new_fold() -> SessionFold:
    return SessionFold(make.MODELS, Standing(), [], {})


def fold(session: SessionFold, *batches: ClientBatch) -> list[Sequence[ChunkResult]]:
    """What each batch changed."""
    changed = []
    for batch in batches:
        touched = session.merge(batch)
        fused = fuse_chunks(make.MODEL, InputArrays.of(touched))
        changed.append(session.apply(batch.batch_number, touched, fused))
    return changed


def folded(chunks: Sequence[ChunkInputs]) -> list[ChunkResult]:
    """One batch a chunk, in the order of capture."""
    session = new_fold()
    fold(session, *(make.batch(number, *make.predictions(one)) for number, one in enumerate(chunks, start=1)))
    return [change.result for change in session.changes()]
