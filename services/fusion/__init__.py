"""Fuses the modalities of a chunk into one risk with its reasons."""
