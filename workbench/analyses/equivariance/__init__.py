"""Which units of a layer are versions of one another under a transformation of the image; see `Equivariance`."""

from workbench.analyses.equivariance.analysis import Equivariance

__all__ = ["Equivariance"]
