"""Whether two copies of a prediction say the same."""

from hashlib import sha256

from services.ingest.vocabulary import Modality

_MODALITY = {modality: bytes((modality,)) for modality in Modality}


def content_digest(chunk: bytes, modality: Modality, content: bytes) -> bytes:
    """32 bytes over the normalised fields; their layout stands in this package."""
    return sha256(chunk + _MODALITY[modality] + content).digest()
