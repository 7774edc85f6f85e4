"""What vectorised tasks have in common in all frameworks: chunks, and values as arrays."""
