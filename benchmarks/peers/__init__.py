"""The same toys trained with other systems, for figures side by side."""
