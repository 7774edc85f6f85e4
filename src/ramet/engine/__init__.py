"""Engines: the only code that loops and waits. Each asks a ``Run`` for turns and tells it back."""
