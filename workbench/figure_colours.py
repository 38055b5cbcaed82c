"""Colours of the figures that results draw of themselves."""

INK, LIGHT, ACCENT = "#30343a", "#aab4c0", "#c8442f"
"""What is measured; what stands beside it, such as a null; what is to be seen first."""
