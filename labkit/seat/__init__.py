"""The proof between the machines of a seat: what they send to each other arrives."""
