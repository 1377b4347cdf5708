"""Other ways to serve the same checkpoint, and one command that measures all of them in turn."""
