"""What all workers did, added up: samples/s, GB/s, stalls."""

import json
import time
from collections import Counter

from worker import STALL_SECONDS

PROGRESS_SECONDS = 0.1
# How many wrong samples are named.
NAMED = 10


class Epoch:
    def __init__(self, number, workers, of):
        self.number, self._left, self.of = number, workers, of
        self.began, self.ended = float("inf"), 0.0
        self.samples, self.bytes, self.seconds = Counter(), Counter(), Counter()
        self.stalls, self.wrong, self.retries = [], [], 0

    def add(self, told):
        self.began, self.ended = min(self.began, told.began), max(self.ended, told.ended)
        self.samples += told.samples
        self.bytes += told.bytes
        self.seconds += told.seconds
        self.stalls += told.stalls
        self.wrong += told.wrong
        self.retries += told.retries
        self._left -= told.last

    def is_over(self):
        return self._left == 0

    def longest_stall(self):
        return max((seconds for _, seconds in self.stalls), default=0.0)

    def progress(self):
        return {
            "epoch": self.number,
            "over": self.is_over(),
            "samples": self.samples.total(),
            "of": self.of,
            "bytes": self.bytes.total(),
            "stalls": len(self.stalls),
            "longest_stall": self.longest_stall(),
            "retries": self.retries,
            "wrong": len(self.wrong),
        }

    def __str__(self):
        took, samples, total = self.ended - self.began, self.samples.total(), self.bytes.total()
        lines = [
            f"epoch {self.number}: {samples} samples, {len(self.wrong)} wrong, {total / 1e9:.3f} GB in {took:.1f} s: "
            f"{samples / took:.0f} samples/s, {total / 1e9 / took:.3f} GB/s",
            f"  {len(self.stalls)} stalls over {STALL_SECONDS * 1000:.0f} ms, the longest {self.longest_stall():.2f} s, "
            f"{sum(seconds for _, seconds in self.stalls):.2f} s in all; {self.retries} retries",
        ]
        for way, count in sorted(self.samples.items()):
            each, gigabytes = self.seconds[way], self.bytes[way] / 1e9
            lines.append(
                f"  {way:<10} {count} samples; one worker: {count / each:.0f} samples/s, {gigabytes / each:.3f} GB/s"
            )
        return "\n".join(lines)


class Tally:
    def __init__(self, epochs, workers, of, progress):
        """`of`: how many samples an epoch has; `progress`: a file for whoever follows the job."""
        self.workers, self.told = workers, []
        self.epochs = [Epoch(number, workers, of) for number in range(1, epochs + 1)]
        self._progress = progress.open("a") if progress else None
        self._written = 0.0

    def add(self, told):
        self.told.append(told)
        epoch = self.epochs[told.epoch - 1]
        epoch.add(told)
        if epoch.is_over():
            print(epoch, flush=True)
        if self._progress and (epoch.is_over() or time.monotonic() - self._written > PROGRESS_SECONDS):
            self._progress.write(json.dumps(epoch.progress()) + "\n")
            self._progress.flush()
            self._written = time.monotonic()

    def is_over(self):
        return all(epoch.is_over() for epoch in self.epochs)

    def failures(self, longest_stall):
        """Why the job was not what it should be; nothing: it was."""
        reasons = []
        for epoch in self.epochs:
            if epoch.wrong:
                reasons.append(f"epoch {epoch.number}: {len(epoch.wrong)} wrong: {', '.join(epoch.wrong[:NAMED])}")
            if epoch.samples.total() != epoch.of:
                reasons.append(f"epoch {epoch.number}: {epoch.samples.total()} samples, not {epoch.of}")
            if longest_stall is not None and epoch.longest_stall() > longest_stall:
                reasons.append(f"epoch {epoch.number}: a worker stalled for {epoch.longest_stall():.2f} s")
        return reasons
