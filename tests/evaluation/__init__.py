"""Evaluation, of an assistant that says what it is told."""
