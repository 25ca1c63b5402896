"""The gateway's own database, a file per noun."""
