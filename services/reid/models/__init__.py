"""Networks and losses of re-identification. They know tensors only."""
