"""Fits what data can fit and measures what is claimed, on real data that is not part of the project."""
