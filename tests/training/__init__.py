"""Training, on a dataset that is made here."""
