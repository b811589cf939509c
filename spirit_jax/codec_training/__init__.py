"""Trains the parts of a speech codec: the encoder of a stream, or the vocoder."""
