"""The Panda's Hand through panda-py, in a process of its own: reading its state holds Python's
lock until the next packet comes, and the arm must not wait for that."""
