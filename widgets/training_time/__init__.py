"""What the panel Training time is made of: the slider, the plot, the table of curves, and training a stretch again."""
