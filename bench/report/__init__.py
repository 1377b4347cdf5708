"""Committed results as a page, as pictures, and as the documentation's tables."""
