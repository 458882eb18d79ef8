"""Pages of the site that are made from the code: a hook of mkdocs, named in mkdocs.yml."""
