"""Answers to open problems: one file a question, each runs analyses on networks and writes what they say as one page."""
