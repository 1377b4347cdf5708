"""A gallery's videos encoded again by another model, from their sources, beside the gallery that is served."""
