"""Checkpoint folders: ours, and those of families of public checkpoints."""
