"""framesift's own demo and ablations, whose results are kept."""
