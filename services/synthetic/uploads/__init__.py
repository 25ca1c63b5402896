"""Uploaded archives -> data sets."""
