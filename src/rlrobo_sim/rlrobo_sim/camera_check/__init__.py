"""What the simulated camera sees, drawn over what the real one sees, to align them by eye."""
