"""From the scores of clips to accuracies, and two runs compared."""
