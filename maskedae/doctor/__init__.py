"""What `maskedae doctor` is made of: it checks the environment, and every file of a folder."""
