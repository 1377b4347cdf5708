"""The towers: vision, text and temporal encoders, in eager PyTorch."""
