"""What keeps weights well conditioned."""
