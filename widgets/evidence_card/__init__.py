"""Parts of the panel Evidence: the checklist, and the screen on which pictures are labelled blind."""
