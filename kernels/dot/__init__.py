"""Dot product of one vector per text and one per video."""
