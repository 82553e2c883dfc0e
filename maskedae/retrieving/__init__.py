"""What `maskedae retrieve` is made of: films found by their sound, and sounds by their film."""
