"""Parameters of the feature visualizations that the window shows; plain data, so that it need not import torch to name them."""

from typing import Any

COARSE: dict[str, Any] = {
    "size": 64,
    "steps": 24,
    "learning_rate": 0.25,
    "decay": 1.6,
    "precision": "auto",
    "held_out": 0,
}
"""For a grid that fills within seconds: enough to tell units apart."""
FINE: dict[str, Any] = {
    "size": 128,
    "steps": 128,
    "learning_rate": 0.15,
    "decay": 1.6,
    "precision": "auto",
    "held_out": 0,
}
"""For a picture to look at."""
