"""Read the evidence of matches and runs out of the chains the kernels keep."""

from __future__ import annotations

from matcher.buffers import Ints, Out
from matcher.compiled import kernel
from matcher.runs import NODE_POSITION, NODE_PREVIOUS, NODE_STEP, NONE, Memory, release_node


@kernel
def read_matches(
    count: int, out: Out, memory: Memory, begin: Ints, steps: Ints, positions: Ints
) -> int:
    """Unwind the evidence of the first `count` matches into arrays, oldest event first.

    `begin` (count + 1) delimits each match's rows of `steps` and `positions`.  Returns the rows
    needed; when they do not fit nothing is released and the caller tries again with more room.
    """
    size = 0
    for match in range(count):
        begin[match] = size
        node = out.node[match]
        while node != NONE:
            size += 1
            node = memory.nodes[node, NODE_PREVIOUS]
    begin[count] = size
    if size > steps.shape[0]:
        return size
    for match in range(count):
        place = begin[match + 1]
        node = out.node[match]
        while node != NONE:
            place -= 1
            steps[place] = memory.nodes[node, NODE_STEP]
            positions[place] = memory.nodes[node, NODE_POSITION]
            node = memory.nodes[node, NODE_PREVIOUS]
        release_node(memory, out.node[match])
    return size


@kernel
def mark_held(memory: Memory, positions: Ints) -> int:
    """Write the positions of all live nodes into `positions`; returns how many."""
    size = 0
    for node in range(memory.nodes.shape[0]):
        if memory.nodes[node, NODE_STEP] != NONE:
            positions[size] = memory.nodes[node, NODE_POSITION]
            size += 1
    return size
