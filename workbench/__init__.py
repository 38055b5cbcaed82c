"""The engine of the Circuit Workbench: open an image network, look at its units, test the circuits behind them. It knows no Qt.

>>> import workbench
>>> model = workbench.load("bundled:efficientnet-lite0")
>>> result = workbench.analyses.FeatureVisualization(layer="blocks.3.0.conv_pw", units=[5, 9]).run(model)

Names load what they need when first used, so that importing `workbench` (which the window does) costs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench import analyses as analyses
    from workbench.images.image_set import load_images as load_images
    from workbench.models.loading import list_models as list_models
    from workbench.models.loading import load as load
    from workbench.models.traced_model import TracedModel as TracedModel

__version__ = "0.1.0"
__all__ = ["TracedModel", "analyses", "list_models", "load", "load_images"]

_HOMES = {
    "TracedModel": "workbench.models.traced_model",
    "load": "workbench.models.loading",
    "list_models": "workbench.models.loading",
    "load_images": "workbench.images.image_set",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "analyses":
        return importlib.import_module("workbench.analyses")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")
