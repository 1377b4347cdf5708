"""Bodies of the Python-backend models, importable without the server."""
