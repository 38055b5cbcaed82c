"""Checkpointed training, and the recipes that made the bundled networks."""
