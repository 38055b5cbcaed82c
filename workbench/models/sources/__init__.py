"""Where networks come from: one file a scheme, and what they share (reading files safely, downloading, recognising, capturing)."""
