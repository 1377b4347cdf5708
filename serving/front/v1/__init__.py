"""HTTP and JSON: searches and videos for those who don't speak gRPC."""
