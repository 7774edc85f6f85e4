"""How FIRE works, drawn for docs/fire.md (after Dalibard & Jaderberg, 2021, figures 2 and 3)."""
