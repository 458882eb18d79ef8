"""Export of a network that classifies clips to one file for use without this toolkit."""
