"""From logits to text: `sampling` draws an id, `engine` an answer of ids, `text` makes characters of them."""
