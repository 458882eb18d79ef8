"""The options of each command. These modules do not import torch."""
