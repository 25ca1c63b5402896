"""A city -> files in the layouts that training and evaluation read."""
