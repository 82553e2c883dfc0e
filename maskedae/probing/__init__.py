"""What `maskedae probe` is made of: scores of frozen features, with and without labels."""
