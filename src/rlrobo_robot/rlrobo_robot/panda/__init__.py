"""A Panda (FER) through panda-py, which drives it without ROS from this very machine: see
`library.py` for what is asked of the library, `arm.py` for what is done with it."""
