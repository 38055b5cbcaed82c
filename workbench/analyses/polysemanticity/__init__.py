"""Which units of a layer mix several things, what each of these is made of, and whether anybody downstream tells them apart."""

from workbench.analyses.polysemanticity.analysis import Polysemanticity

__all__ = ["Polysemanticity"]
