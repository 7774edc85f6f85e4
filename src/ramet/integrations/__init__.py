"""Callbacks for the training loops that people do not write themselves, a module for each."""
