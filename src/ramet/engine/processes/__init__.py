"""Worker processes on one machine: how they start, what they train, and how they end."""
