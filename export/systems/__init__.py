"""One file per published system: its module, its checkpoint keys, its records."""
