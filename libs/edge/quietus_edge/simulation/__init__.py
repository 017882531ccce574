"""Invented people for demos and tests. `generate` yields their sessions."""

from quietus_edge.simulation.generate import SimulatedChunk, SimulatedSession, generate
from quietus_edge.simulation.personas import PERSONAS

__all__ = ["PERSONAS", "SimulatedChunk", "SimulatedSession", "generate"]
