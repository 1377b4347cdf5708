"""From texts to token ids: cleaning, vocabularies, tokenizers."""
