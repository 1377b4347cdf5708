"""The served models and ensembles, as data, and their rendering."""
