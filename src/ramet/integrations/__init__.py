"""Callbacks for the training loops of other libraries, a module for each."""
