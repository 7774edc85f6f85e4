"""Fuzzing: whatever is in the files of a run, only errors of ours come out, quickly."""
