"""Whether two copies of a prediction say the same."""

from collections.abc import Iterable
from hashlib import sha256

from services.ingest.vocabulary import Modality

_MODALITY = {modality: bytes((modality,)) for modality in Modality}


def content_digests(modalities: Iterable[Modality], chunks: Iterable[bytes], contents: Iterable[bytes]) -> list[bytes]:
    """32 bytes each, over the normalised fields; their layout stands in this package."""
    return [
        sha256(chunk + _MODALITY[modality] + content).digest()
        for modality, chunk, content in zip(modalities, chunks, contents, strict=True)
    ]
