"""Graphs of fewer bits, and what must stay of their ranking."""
