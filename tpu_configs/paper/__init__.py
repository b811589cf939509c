"""Recipes of the paper's comparison in small (`make paper-in-small`)."""
