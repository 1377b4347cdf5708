"""Starting, watching and stopping the embedded Triton server."""
