"""Where others reach the assistant: the page in a browser."""
