"""Recording the graph and replaying it, byte by byte."""
