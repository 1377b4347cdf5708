"""Filling galleries without a server: on one machine, or on the nodes of a Ray cluster."""
