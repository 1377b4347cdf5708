"""What the storage of a gallery keeps of the exact ranking, and what it costs."""
