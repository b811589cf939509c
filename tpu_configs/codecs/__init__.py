"""Recipes for a codec's own networks."""
