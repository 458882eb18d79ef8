"""The options of each command, without the libraries that only its work needs."""
