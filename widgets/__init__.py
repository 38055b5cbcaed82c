"""Everything Qt. It knows no torch: what the engine computes comes through `relay` as plain data."""
