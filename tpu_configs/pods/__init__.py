"""Recipes for TPU pods."""
