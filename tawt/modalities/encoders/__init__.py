"""Contents beside the record to embeddings: what a modality is (`modality`), and those that there are."""
