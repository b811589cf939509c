"""Which utterances of a corpus are good enough to train on."""
