"""Activation patching over pairs of images: which parts of a network carry the difference between them."""

from workbench.analyses.patching.analysis import ActivationPatching

__all__ = ["ActivationPatching"]
