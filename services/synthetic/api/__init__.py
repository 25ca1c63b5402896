"""The synthetic service over REST: its nouns."""
