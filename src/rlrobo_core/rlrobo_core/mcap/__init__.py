"""MCAP files (https://mcap.dev/spec), as rosbag2 stores messages.

The libraries copy a message four times on its way to the file, and read only files that were
closed properly. Here a message is copied once, by the kernel: a fifth of the processor time,
which a recording takes from the run that it records. And what was cut off is read as far as it
goes. Chunks are not compressed; other files are left to `rosbags`.
"""
