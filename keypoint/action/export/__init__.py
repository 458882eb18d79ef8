"""A network that classifies clips as one file for use without this toolkit."""
