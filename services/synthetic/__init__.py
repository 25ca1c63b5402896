"""Data that real cameras lack: the simulated city, and the systems that generate."""
