"""The top-K cross-modal attention scorer."""
