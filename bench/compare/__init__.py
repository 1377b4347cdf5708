"""Two commits in alternation, and what became slower or faster beyond noise."""
