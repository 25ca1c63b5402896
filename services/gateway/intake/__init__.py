"""Frames in, clips out: the doorman judges a frame, the window script takes it."""
