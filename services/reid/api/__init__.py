"""REST of the re-ID service, by nouns."""
