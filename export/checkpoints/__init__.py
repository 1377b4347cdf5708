"""Reading authors' files: torch's own format as data, and what they wrap around a state_dict."""
