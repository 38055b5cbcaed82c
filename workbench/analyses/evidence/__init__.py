"""Evidence for a claimed detector: seven pieces, each a figure beside its null, or what is missing.

`analysis` declares the question and fills the card (`workbench.evidence_card`), `population` is what the unit does at all positions of the
images and draws those to be labelled blind, `synthetic` asks what it does on stimuli (generality, family), `parts` runs the analyses
that answer the rest, `figures` draws.
"""

from workbench.analyses.evidence.analysis import Evidence
from workbench.analyses.evidence.population import Population, draw_labelling

__all__ = ["Evidence", "Population", "draw_labelling"]
