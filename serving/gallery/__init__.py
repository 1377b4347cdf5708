"""The durable store of video records."""
