"""Each stage of a search and an indexing by itself, engine beside engine."""
