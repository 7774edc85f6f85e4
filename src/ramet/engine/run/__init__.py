"""One worker's hold on a run: it asks for turns, tells how they went, and decides what follows."""
