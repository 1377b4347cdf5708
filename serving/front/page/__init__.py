"""What is to be seen in a browser."""
