"""A run, or several over each other, as one HTML page that needs nothing else."""
