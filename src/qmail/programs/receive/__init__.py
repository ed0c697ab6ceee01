"""A conversation becomes a submission."""
