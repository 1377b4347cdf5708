"""Fine-tuning and retrieval metrics."""
