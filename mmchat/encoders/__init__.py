"""Encoders: a picture or a clip in, features out. Preprocessing that belongs to the weights lives beside them."""
