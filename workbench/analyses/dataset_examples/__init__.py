"""Dataset examples: what each unit of any number of layers responds to, from one pass over an image set.

`analysis` declares the question, `reduction` turns one batch of a layer's activation into a few numbers a unit, `running` adds these up
and keeps them on disk, `histogram` counts values whose range nobody knows beforehand, `finished` reads the outcome unit by unit,
`sheet` reads small images of the examples, `figures` draws.
"""

from workbench.analyses.dataset_examples.analysis import DatasetExamples
from workbench.analyses.dataset_examples.finished import (
    SHEET,
    is_finished,
    layer_statistics,
    pack,
    percentile,
    swept_layers,
    unit_examples,
)

__all__ = ["SHEET", "DatasetExamples", "is_finished", "layer_statistics", "pack", "percentile", "swept_layers", "unit_examples"]
