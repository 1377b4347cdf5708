"""Coarse, fine and crossed similarities of a text and a video: X-CLIP's score."""
