"""Real or simulated tracks -> the real gallery -> how well it told people apart."""
