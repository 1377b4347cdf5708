"""What people deploy instead, served from the same checkpoint, and one command that measures all of them in turn."""
