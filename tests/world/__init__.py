"""The world: its things, and the datasets that are made of them."""
