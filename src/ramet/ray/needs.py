"""What workers need of a Ray cluster, and errors for what it lacks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ramet.errors import StoreUnsupported, StrategyError
from ramet.store import SQLiteStore, Store

# Amounts by Ray's names for resources.
Needs: TypeAlias = dict[str, float]
# The resource that only the head has, and the least that Ray counts with.
HEAD, AS_GOOD_AS_NOTHING = "node:__internal_head__", 1e-4
# Resources that every node has, and that no worker asks for.
COMMON = ("node:", "memory", "object_store_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of a Ray cluster, or what Ray takes for one."""

    id: str
    address: str
    # All that it has, used or not.
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_head(self) -> bool:
        """Whether the cluster ends with it."""
        return HEAD in self.resources

    def count_places(self, needs: Needs) -> int:
        """Return how many workers it has room for.

        >>> Node(id="a", address="10.0.0.1", resources={"CPU": 4.0}).count_places({"CPU": 1.5})
        2
        """
        # A little more, because Ray counts in parts of 10,000.
        return min(
            int(self.resources.get(name, 0) / amount + 1e-9) for name, amount in needs.items()
        )

    def __str__(self) -> str:
        """Say what it has, apart from memory."""
        own = {name: n for name, n in self.resources.items() if not name.startswith(COMMON)}
        return f"{self.address} has {say_amounts(own)}"


def say_amounts(needs: Mapping[str, float]) -> str:
    """Return amounts of resources for people.

    >>> say_amounts({"CPU": 4.0, "spot": 0.5}), say_amounts({})
    ('4 CPU and 0.5 spot', 'nothing')
    """
    return " and ".join(f"{amount:g} {name}" for name, amount in needs.items()) or "nothing"


def count_places(needs: Needs, nodes: Iterable[Node]) -> int:
    """Return how many workers a cluster has room for.

    Args:
        needs: What each needs.
        nodes: The nodes of the cluster.
    """
    return sum(node.count_places(needs) for node in nodes)


def check_room(needs: Needs, nodes: Sequence[Node]) -> None:
    """Refuse workers that no node has room for, which Ray would let wait for ever.

    Args:
        needs: What each needs.
        nodes: The nodes of the cluster.
    """
    if not count_places(needs, nodes):
        raise StrategyError(
            f"a worker must fit on one node of the Ray cluster, but it needs {say_amounts(needs)}, "
            f"and {'; '.join(map(str, nodes))}. Ask for less (num_cpus=, num_gpus=, resources=), "
            f"or add such a node; if the cluster adds nodes by itself, set grows=True"
        )


def check_reach(store: Store, *, home: str, addresses: Iterable[str]) -> None:
    """Refuse a file as the store of several machines.

    Args:
        store: The store.
        home: The address of the machine that the file is on.
        addresses: The addresses of the machines that open it.
    """
    others = sorted({*addresses} - {home})
    if others and isinstance(store, SQLiteStore):
        raise StoreUnsupported(
            f"workers on several machines must share their store, but {store.path} is a file of "
            f"{home}, and the Ray cluster also has {', '.join(others)}; record the run in a "
            f"database, and keep its checkpoints where all machines reach them: "
            f"store=ramet.Storage('postgresql://user@host/database', blobs='s3://bucket/prefix')"
        )
