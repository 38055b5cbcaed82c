"""Ablation: what a network loses without some units of a layer.

`analysis` declares the question, `replacement` says what takes the units' place and which units are the null, `outcome` measures what
that does to the output, `figures` draws.
"""

from workbench.analyses.ablation.analysis import Ablation

__all__ = ["Ablation"]
