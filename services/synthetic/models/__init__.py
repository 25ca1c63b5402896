"""Adversarial systems, one paper a file."""
