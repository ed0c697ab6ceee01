"""What a line of a .qmail file may run."""
