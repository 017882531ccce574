"""All SQL of the slice, a file an aggregate."""
