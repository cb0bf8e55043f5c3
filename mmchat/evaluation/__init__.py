"""Evaluation: how often the answers to a dataset's questions are right, and how fast they come."""
