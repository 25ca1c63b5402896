"""Clips in, scores out: how unlike its camera's usual life each frame is, and where."""
