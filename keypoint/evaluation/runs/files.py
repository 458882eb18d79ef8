"""Names of the files in the folder of a run."""

METRICS, HISTORY, CONFIG, RESULTS = "metrics.json", "history.json", "config.yaml", "results.json"
CARD = "card.md"  # written only by keypoint test
