"""The README and the pages that it leads to: commands, links, snippets and the notebook."""
