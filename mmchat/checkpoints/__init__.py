"""Checkpoints: the folder format, and where a model's name leads."""
