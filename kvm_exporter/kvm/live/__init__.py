"""The edges to a running kernel: the only rooms that call it."""
