"""Where the cameras are: the result of a hand-eye calibration, checked and published as frames."""
