"""What the suite may know of a sentence without reading it: extract(text) gives its cues and valence.

Pure, synchronous and offline. Word lists lie in data/; docs/science/cues.md says what they can't do.
"""

from quietus_edge.cues.extractor import Extraction, extract
from quietus_edge.cues.lexicon import lexicon

__all__ = ["Extraction", "extract", "lexicon"]
