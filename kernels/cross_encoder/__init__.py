"""A transformer over the text and the frames together: CLIP4Clip's tight score, for a short list."""
