"""Hand-coding: kernels written by hand take the place of learned ones, and what comes back of the performance is measured.

`analysis` declares the question, `bench` runs a network and its versions from the edited layers on, `fitting` finds offset and scale,
`recovery` turns losses into what is recovered, `figures` draws.
"""

from workbench.analyses.hand_coding.analysis import HandCoding

__all__ = ["HandCoding"]
