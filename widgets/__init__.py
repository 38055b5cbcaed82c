"""Everything Qt. It knows no torch: what the engine computes comes through `relay` as plain data."""

from widgets.overrides import watch_overrides

watch_overrides()
