"""Blobs: the bytes of checkpoints."""

from ramet.blobs.base import Blobs
from ramet.blobs.directory import DirectoryBlobs
from ramet.blobs.memory import MemoryBlobs
from ramet.blobs.objects import ObjectBlobs

__all__ = ["Blobs", "DirectoryBlobs", "MemoryBlobs", "ObjectBlobs"]
