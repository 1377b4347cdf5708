"""A gallery of any size on one machine: import, commits, load, restart, freshness."""
