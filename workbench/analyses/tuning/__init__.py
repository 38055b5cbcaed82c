"""How units respond as a parametric stimulus turns, bends, moves and changes colour."""

from workbench.analyses.tuning.analysis import Tuning

__all__ = ["Tuning"]
