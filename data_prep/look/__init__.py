"""A page of a corpus, of its units or of its shards."""
