"""A blind panel of people: trials from a finished audit, a page for each rater, and what the answers say."""
