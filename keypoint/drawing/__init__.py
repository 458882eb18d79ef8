"""Pictures of persons, heatmaps and curves."""
