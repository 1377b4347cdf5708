"""Engines that are built without a GPU."""
