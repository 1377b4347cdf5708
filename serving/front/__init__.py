"""The front door: the only process that clients reach. It checks, admits and batches what Triton server answers."""
