"""The committed demo checkpoint and its vocabulary."""
