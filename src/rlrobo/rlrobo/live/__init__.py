"""What the live graph is doing, for machines without the ros2 command."""
