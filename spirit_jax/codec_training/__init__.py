"""Training the parts of a speech codec: units, pitch codes, style codes and the vocoder."""
