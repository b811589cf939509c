"""Log-probabilities of given texts and speech."""
