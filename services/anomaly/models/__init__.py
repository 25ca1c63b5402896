"""The networks of the anomaly service, one paper per file."""
