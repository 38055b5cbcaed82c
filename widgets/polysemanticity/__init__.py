"""Parts of the panel Mixtures."""
