"""Generated data sets: persons for the demo, road signs."""
