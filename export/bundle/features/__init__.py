"""Videos that come as features: arrays that an extractor made of a film, in a file with a name for each."""
