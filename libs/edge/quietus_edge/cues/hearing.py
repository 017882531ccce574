"""What an app leaves to the SDK to find in a transcript."""

from dataclasses import replace

from quietus_edge.cues.extractor import extract
from quietus_edge.predictions import Text


def with_cues(text: Text) -> Text:
    """With the cues and the valence of its transcript, each where the app gave none of its own."""
    if not text.transcript or (text.cues is not None and text.valence is not None):
        return text
    found = extract(text.transcript)
    return replace(
        text,
        cues=found.cues if text.cues is None else text.cues,
        valence=found.valence if text.valence is None else text.valence,
    )
