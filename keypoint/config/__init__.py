"""YAML files to frozen, checked configs."""
