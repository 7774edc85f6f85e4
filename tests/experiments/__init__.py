"""Experiments that need a framework, and what their pages say."""
