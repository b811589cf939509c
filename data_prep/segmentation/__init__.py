"""Cuts long recordings at silences."""
