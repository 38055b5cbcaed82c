"""Parts of the panel Canvas."""
