"""What the panels Training and Training time are made of: a recipe's form; the slider, the plot, the table of curves, a stretch again."""
