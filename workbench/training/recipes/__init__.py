"""One file a kind of training."""
