"""Recipes for a CPU: the demo, and small runs."""
