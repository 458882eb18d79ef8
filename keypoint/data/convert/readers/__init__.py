"""A reader for each labelling tool, and what several of them need."""
