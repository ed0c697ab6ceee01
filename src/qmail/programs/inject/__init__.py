"""A person's message becomes a submission."""
