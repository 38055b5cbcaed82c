"""What stimuli at all orientations say of units: the stimuli (`probes`), measures of a tuning curve (`curve`), a layer's `scores`.

Shared by all analyses that ask what units are tuned to: one that looks at a layer, one that follows it through a training.
"""
