"""Random numbers -> people: how they look, how they move, where they walk."""
