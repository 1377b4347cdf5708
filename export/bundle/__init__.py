"""The bundle: what export writes and serving reads. Nothing here needs torch."""
