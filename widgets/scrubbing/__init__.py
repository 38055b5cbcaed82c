"""The parts of the panel Scrubbing: the tree of a hypothesis, the fields of a node, and what came of a run."""
