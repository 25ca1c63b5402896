"""Where the gallery's migrations lie."""

from pathlib import Path

MIGRATIONS = Path(__file__).parents[1] / "migrations"
