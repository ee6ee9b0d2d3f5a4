"""A policy on another machine: a server beside the GPU, a client beside the arm.

The wire is openpi's (https://github.com/Physical-Intelligence/openpi): a websocket, msgpack with
its numpy extension, the server's metadata first, `GET /healthz`. The client needs no torch.
"""
