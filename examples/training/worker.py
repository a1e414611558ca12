"""One worker of the job: a process that reads its tasks, compares every sample, and tells what it did."""

import time
from collections import Counter
from dataclasses import dataclass, field

from blake3 import blake3
from readers import readers

# A worker that got no sample for longer than this stalled.
STALL_SECONDS = 0.25
TELL_SECONDS = 0.1
# How long workers wait for each other between two epochs, and at the start for the imports of all.
WAIT_SECONDS = 600


@dataclass
class Told:
    """What a worker did between two moments."""

    worker: int
    epoch: int
    began: float
    ended: float = 0.0
    last: bool = False
    """Whether it is the worker's last word on this epoch."""
    samples: Counter = field(default_factory=Counter)
    bytes: Counter = field(default_factory=Counter)
    seconds: Counter = field(default_factory=Counter)
    """By the way of reading, all three."""
    stalls: list = field(default_factory=list)
    """(began, seconds)"""
    retries: int = 0
    wrong: list = field(default_factory=list)


def work(number, bucket, epochs, together, tell):
    """Reads the tasks of every epoch. Clocks are the wall's: they are compared between processes."""
    ways, opened = readers(bucket)
    for epoch, tasks in enumerate(epochs, 1):
        together.wait(WAIT_SECONDS)
        told = Told(number, epoch, time.time())
        moment = told.began
        for task in tasks:
            wanted = {sample.name: sample for sample in task.samples}
            for name, body in ways[task.way].read(task.samples, task.seed):
                before, moment = moment, time.time()
                if moment - before > STALL_SECONDS:
                    told.stalls.append((before, moment - before))
                # A sample that comes twice is as wrong as one that was not asked for.
                sample = wanted.pop(name, None)
                if sample is None or len(body) != sample.length or blake3(body).hexdigest() != sample.blake3:
                    told.wrong.append(f"{name} ({task.way}): differs")
                told.samples[task.way] += 1
                told.bytes[task.way] += len(body)
                told.seconds[task.way] += moment - before
                if moment - told.began > TELL_SECONDS:
                    told = finish(told, moment, opened, tell)
            told.wrong += [f"{name} ({task.way}): missing" for name in wanted]
        told.last = True
        finish(told, time.time(), opened, tell)


def finish(told, now, opened, tell):
    """Tells it, and begins the next."""
    told.ended, told.retries, opened.retries = now, opened.retries, 0
    tell.put(told)
    return Told(told.worker, told.epoch, now)
