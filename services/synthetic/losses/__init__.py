"""What adversarial systems minimise, each in its own few lines."""
