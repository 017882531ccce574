"""All SQL of identity, one file a subject. Times are the caller's, so that events and rows agree."""
