"""Encoders that learn to answer from labels: training, scoring, at work."""
