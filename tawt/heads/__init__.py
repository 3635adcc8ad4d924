"""Heads on embeddings: what a task asks, what the truth is, and what learns it."""
