"""Label selectivity: which labels of the images a unit separates, at all levels of its activation.

`analysis` declares the question, `labels` reads labels from an image set's columns, `auroc` has the statistics, `figures` draws.
"""

from workbench.analyses.label_selectivity.analysis import LabelSelectivity

__all__ = ["LabelSelectivity"]
