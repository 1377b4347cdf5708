"""Filling a gallery by processes of one machine, and by actors of a Ray cluster of that machine."""
