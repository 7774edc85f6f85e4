"""Everything that is measured on a GPU, in one script that takes under five minutes."""
