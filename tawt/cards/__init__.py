"""What goes with a dataset for whoever reads it first: a page of text, and Croissant metadata for machines."""
