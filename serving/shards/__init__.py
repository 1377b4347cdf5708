"""A gallery in shards: the actors that search and write them, and the models that ask these and merge their answers."""
