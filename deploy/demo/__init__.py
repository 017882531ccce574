"""The main job on one machine: people are simulated, and the whole road is read back over gRPC."""
