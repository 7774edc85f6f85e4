"""The site: what MkDocs does to the pages, beside what it does to any."""
