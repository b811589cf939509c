"""Word times for recordings with transcripts."""
