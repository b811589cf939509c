"""Units and texts as token shards, what they hold, and how they are written on many machines."""
