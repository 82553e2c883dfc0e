"""Masked autoencoding for images, video and audio."""

__version__ = "0.1.0"
