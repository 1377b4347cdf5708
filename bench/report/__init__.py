"""Committed results as a page, as pictures, and as the README's tables."""
