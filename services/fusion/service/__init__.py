"""Use cases: folding what ingest tells, answering what people ask, and whatever is done with versions of the model."""
