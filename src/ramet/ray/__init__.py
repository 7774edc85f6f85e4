"""Ray: the workers of a run are actors on the nodes of a cluster."""

from ramet.ray.engine import Ray

__all__ = ["Ray"]
