"""Circuits: found (`Trace`), and measured whoever made them (`CircuitMeasures`).

`target` is what is explained, `paths` which unit can read which, `runs` computes any mixture of clean and ablated, `attribution` and
`patching` say what each unit and edge does, `candidates` and `pruning` choose, `scores` and `circuits` measure, `figures` draws.
"""

from workbench.analyses.trace.analysis import Trace, circuit_of
from workbench.analyses.trace.measures import CircuitMeasures, measure

__all__ = ["CircuitMeasures", "Trace", "circuit_of", "measure"]
