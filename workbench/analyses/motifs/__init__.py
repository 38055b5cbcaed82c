"""Motifs: patterns of weights that return in a network.

`analysis` declares the question, `weights` reads the layers of weights, `activity` watches what is read, `families` finds units that are
turned versions of one another, `detectors`, `branches` and `templates` say what each motif is, `null` what weights without any are,
`search` asks, `counting` corrects, `findings` names, `figures` draws. What becomes of a finding, in `workbench.motifs`, needs no torch.
"""

from workbench.analyses.motifs.analysis import Motifs
from workbench.motifs import as_circuit

__all__ = ["Motifs", "as_circuit"]
