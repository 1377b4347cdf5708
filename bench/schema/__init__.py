"""Results as typed rows: a dataclass for each kind, what it was measured on, one writer and one reader."""
