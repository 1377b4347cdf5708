"""What finds videos in a gallery: records in memory, and the rankers that scan them."""
