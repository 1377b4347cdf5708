"""Filters of searches and lists: a small language, read by a parser of its own and never executed."""
