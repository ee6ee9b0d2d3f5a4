"""Episodes on a real arm: an instruction, a limit of time, and who judges."""
