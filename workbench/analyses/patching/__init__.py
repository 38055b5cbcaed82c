"""Activation patching over pairs of images: which parts of a network carry the difference between them."""

from workbench.analyses.patching.analysis import ActivationPatching
from workbench.analyses.patching.choice import OTHERS

__all__ = ["OTHERS", "ActivationPatching"]
