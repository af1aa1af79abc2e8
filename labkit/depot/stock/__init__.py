"""What the depot holds; all in here needs Python's own library only, and also runs on the depot."""
