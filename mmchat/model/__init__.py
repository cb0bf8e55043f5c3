"""The model: projectors, the mixed sequence, the decoder, and the whole of them."""
