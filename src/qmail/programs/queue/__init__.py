"""A submission becomes a file, and the file is scheduled."""
