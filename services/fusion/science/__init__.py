"""What a chunk and a session mean: numbers in, numbers out, and each of them explained in docs/science/fusion.md."""
