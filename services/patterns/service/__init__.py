"""Use cases: folding what the feeds tell, and answering what people ask."""
