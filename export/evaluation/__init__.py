"""Retrieval metrics as the field's papers compute them, on published annotation files. Needs no torch."""
