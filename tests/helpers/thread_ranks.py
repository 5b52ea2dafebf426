"""Ranks that are threads of one process: a stand-in for MPI."""

import threading
import time
from collections import defaultdict, deque

import numpy as np

from fastnn.distributed.communicator import Communicator


class World:
    """The mailboxes of `size` ranks."""

    def __init__(self, size):
        self.size = size
        self.lock = threading.Lock()
        self.sent = defaultdict(deque)  # (from, to) -> arrays
        self.told = defaultdict(deque)  # to -> (from, message)

    def ranks(self):
        return [ThreadRank(self, rank) for rank in range(self.size)]


class ThreadRank(Communicator):
    """A rank of a World."""

    def __init__(self, world, rank):
        self.world, self.rank, self.size = world, rank, world.size

    def exchange(self, sent, received, partner):
        with self.world.lock:
            self.world.sent[self.rank, partner].append(sent.copy())
        done = []

        def is_done():
            with self.world.lock:
                waiting = self.world.sent[partner, self.rank]
                if not done and waiting:
                    received[...] = waiting.popleft()
                    done.append(True)
            if not done:
                time.sleep(1e-4)  # threads share an interpreter: let the others compute
            return bool(done)

        return is_done

    def tell(self, message, rank):
        with self.world.lock:
            self.world.told[rank].append((self.rank, message))

    def heard(self):
        with self.world.lock:
            return self.world.told[self.rank].popleft() if self.world.told[self.rank] else None


def on_ranks(size, work):
    """Call work(comm) on each of `size` ranks; return the results, and errors instead of results, in order."""
    results = [None] * size

    def run(comm):
        try:
            results[comm.rank] = work(comm)
        except BaseException as error:
            results[comm.rank] = error

    threads = [threading.Thread(target=run, args=(comm,), daemon=True) for comm in World(size).ranks()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a rank hangs"
    return results


def trained(size, make):
    """Train make(comm) on each of `size` ranks; return the Solvers."""

    def work(comm):
        solver = make(comm)
        solver.train()
        return solver

    results = on_ranks(size, work)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def bits(solver):
    """The state of a Solver as one dict of arrays' bytes and numbers."""

    def flat(tree, name=""):
        if isinstance(tree, dict):
            return {key: value for part, inner in tree.items() for key, value in flat(inner, f"{name}/{part}").items()}
        return {name: tree.tobytes() if isinstance(tree, np.ndarray) else repr(tree)}

    return flat(solver.state())
