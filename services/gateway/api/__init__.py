"""The gateway's REST surface, a file per noun."""
