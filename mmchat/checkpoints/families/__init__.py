"""Public checkpoints, one module a family: what its files say as a `ModelConfig`, and a two-way map of names."""
