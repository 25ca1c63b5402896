"""Footage -> trained, exported, measured STAE models."""
