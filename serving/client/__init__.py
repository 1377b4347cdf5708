"""The client of a framesift server; needs numpy and tritonclient alone. Users import it from ``framesift``."""
