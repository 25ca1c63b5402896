"""Clips in, people out: found, embedded, and recognised across cameras, by id and not by name."""
