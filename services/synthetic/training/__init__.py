"""Images -> trained adversarial systems -> images."""
