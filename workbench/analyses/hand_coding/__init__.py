"""Hand-coding: kernels written by hand take the place of learned ones, and what comes back of the performance is measured.

`analysis` declares the question, `bench` runs a network and its versions from the edited layers on, `fitting` finds offset and scale,
`recovery` turns losses into what is recovered, `figures` draws.
`ground` measures what the units that a kernel reads detect; `curves` and `high_low` find the curve and the high-low frequency detectors
and write them from that, both by way of `directed`; `early` names the families of the first layer and writes each unit as the template it
is most like. `trial` tries one kernel while it is painted, `live` says what all that are applied recover, and `scoring` fits and scores the
versions of a network on the two halves of the images.
"""

from workbench.analyses.hand_coding.analysis import HandCoding
from workbench.analyses.hand_coding.curves import HandCodedCurves
from workbench.analyses.hand_coding.early import EarlyFamilies
from workbench.analyses.hand_coding.high_low import HandCodedHighLow

__all__ = ["EarlyFamilies", "HandCodedCurves", "HandCodedHighLow", "HandCoding"]
