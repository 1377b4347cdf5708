"""A gallery in shards beside the same gallery on one server."""
