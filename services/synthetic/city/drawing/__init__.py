"""Shapes in metres and a camera -> sprites, and sprites -> a frame."""
