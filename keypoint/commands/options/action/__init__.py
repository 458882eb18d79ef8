"""The options of the commands for videos."""
