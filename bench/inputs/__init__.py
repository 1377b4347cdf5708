"""What is measured with: models, clips, queries, records, galleries, and all of it as one corpus."""
