"""A training job without the training: workers read every sample, epoch after epoch, and compare each one.

    job.py --bucket training --workers 4 --epochs 2 --seed 1

It reads what `steward.py` uploaded, in three ways at once (`readers.py`), and prints samples/s, GB/s and
stalls. It fails when a sample is wrong or missing, and when a worker stalled for longer than it may.
"""

import argparse
import multiprocessing
import pathlib
import queue
import sys

import chart
import index
import plan
from readers import WAYS
from store import Bucket
from tally import Tally
from worker import work


def run(arguments):
    """Runs the workers to their end, and tells what they did."""
    text = Bucket(arguments.bucket).get(index.NAME)["Body"].read().decode()
    samples = index.samples(text)
    numbers = range(1, arguments.epochs + 1)
    seed, ways = arguments.seed, arguments.ways
    epochs = [plan.epoch(samples, ways, arguments.workers, seed, number) for number in numbers]
    # Processes, since one interpreter hashes and unpacks for one worker at a time. Spawned ones, since clients
    # with threads of their own do not survive a fork.
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(arguments.workers), context.Queue()
    workers = []
    for number in range(arguments.workers):
        own = [epoch[number] for epoch in epochs]
        words = (number, arguments.bucket, own, together, told)
        workers.append(context.Process(target=work, args=words, daemon=True))
        workers[-1].start()
    tally = Tally(arguments.epochs, arguments.workers, len(samples) * len(ways), arguments.progress)
    while not tally.is_over():
        if failed := [number for number, worker in enumerate(workers) if worker.exitcode]:
            # The others are daemons and end with this process.
            sys.exit(f"worker {failed[0]} failed; what it said is above")
        try:
            tally.add(told.get(timeout=0.5))
        except queue.Empty:
            pass
    for worker in workers:
        worker.join()
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of reading [all]")
    parser.add_argument("--longest-stall", type=float, metavar="SECONDS", help="fail when a worker stalled longer")
    parser.add_argument("--chart", type=pathlib.Path, metavar="SVG", help="draw the run")
    parser.add_argument("--events", type=pathlib.Path, metavar="FILE", help="lines `SECONDS WORDS`, to be drawn")
    parser.add_argument("--progress", type=pathlib.Path, metavar="FILE", help="append progress to it, as JSON lines")
    arguments = parser.parse_args()
    tally = run(arguments)
    if arguments.chart:
        events = arguments.events.read_text() if arguments.events and arguments.events.exists() else ""
        arguments.chart.write_text(chart.draw(tally, [line.split(" ", 1) for line in events.splitlines()]))
        print(f"drawn: {arguments.chart}")
    if reasons := tally.failures(arguments.longest_stall):
        sys.exit("\n".join(reasons))


if __name__ == "__main__":
    main()
