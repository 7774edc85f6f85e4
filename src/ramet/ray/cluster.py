"""The Ray cluster that this process is connected to."""

import contextlib
import socket

import ray

from ramet.errors import UsageError
from ramet.ray.needs import Needs, Node

# How long a node has to answer.
ANSWER_S = 1.0


def connect() -> None:
    """Connect to a cluster as ``ray.init()`` does, unless this process is connected already."""
    if ray.is_initialized():
        return
    try:
        ray.init()
    except (ConnectionError, RuntimeError) as error:
        raise UsageError(
            f"a Ray cluster must answer where ray.init() looks for one, but {error}; start one "
            f"with `ray start --head`, or set RAY_ADDRESS to the address of one that runs"
        ) from error


def list_nodes() -> list[Node]:
    """Return the nodes that are alive."""
    return [
        Node(id=node["NodeID"], address=node["NodeManagerAddress"], resources=node["Resources"])
        for node in ray.nodes()
        if node["Alive"]
    ]


def answers(node: str) -> bool:
    """Return whether a node is well, as far as Ray knows and by asking it.

    Ray itself notices the loss of a node late: when it has not heard of it for some time.
    """
    for each in ray.nodes():
        if each["NodeID"] == node and each["Alive"]:
            address = each["NodeManagerAddress"], each["NodeManagerPort"]
            with contextlib.suppress(OSError), socket.create_connection(address, ANSWER_S):
                return True
    return False


def count_free(needs: Needs) -> Needs:
    """Return how much of what a worker needs no one uses, in the whole cluster."""
    free = ray.available_resources()
    return {name: free.get(name, 0.0) for name in needs}


def find_home() -> str:
    """Return the address of the node that this process is on."""
    here = ray.get_runtime_context().get_node_id()
    return next(str(node["NodeManagerAddress"]) for node in ray.nodes() if node["NodeID"] == here)
