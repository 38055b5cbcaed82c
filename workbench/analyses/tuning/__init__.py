"""How units respond as a parametric stimulus turns, bends, moves and changes colour."""

from workbench.analyses.tuning.analysis import Tuning
from workbench.analyses.tuning.probes import FEATURES, Feature, Probe, probe_of, scaled, show

__all__ = ["FEATURES", "Feature", "Probe", "Tuning", "probe_of", "scaled", "show"]
