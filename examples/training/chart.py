"""The run as a picture: samples/s and GB/s over time, when which worker stalled, and what happened meanwhile.

SVG, written by hand: a few shapes need no library.
"""

import math
from collections import Counter
from xml.sax.saxutils import escape

from readers import WAYS

WIDTH, LEFT, RIGHT = 960, 72, 24
# Where each panel begins and how high it is.
RATE, BANDWIDTH, STALLS = (96, 200), (336, 100), (476, 0)
ROW = 18
# Colours that the colour-blind tell apart (Okabe and Ito).
COLOURS = dict(zip(WAYS, ("#0072b2", "#e69f00", "#009e73")))
INK, FAINT, FAULT = "#333333", "#dddddd", "#b22222"
# The finest step in time, and the most of them.
FINEST, STEPS = 0.25, 240


def draw(tally, events):
    """Draws what was told; `events` are [unix seconds, words], such as when a disk was lost."""
    began, ended = tally.epochs[0].began, tally.epochs[-1].ended
    height = STALLS[0] + ROW * tally.workers + 48
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="sans-serif" font-size="12" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *Picture(tally, began, ended).lines(events),
            "</svg>\n",
        ]
    )


class Picture:
    def __init__(self, tally, began, ended):
        self._tally, self._began, self._length = tally, began, ended - began
        self._step = max(FINEST, self._length / STEPS)
        self._steps = int(self._length / self._step) + 1
        self._bottom = STALLS[0] + ROW * tally.workers

    def lines(self, events):
        yield from self._epochs()
        yield from self._rate()
        yield from self._bandwidth()
        yield from self._stalls()
        yield from self._seconds()
        yield from self._events(events)

    def _x(self, moment):
        return LEFT + (moment - self._began) / self._length * (WIDTH - LEFT - RIGHT)

    def _epochs(self):
        for epoch in self._tally.epochs:
            left, right = self._x(epoch.began), self._x(epoch.ended)
            yield (
                f'<rect x="{left:.1f}" y="{RATE[0]}" width="{right - left:.1f}" height="{self._bottom - RATE[0]}" '
                'fill="#f6f6f6"/>'
            )
            yield text(left + 4, RATE[0] + 14, f"epoch {epoch.number}", weight="bold")

    def _per_second(self, counted):
        """How much of each way fell into each step of time, by the second."""
        sums = {way: [0.0] * self._steps for way in WAYS}
        for told in self._tally.told:
            at = min(int((told.ended - self._began) / self._step), self._steps - 1)
            for way, count in counted(told).items():
                sums[way][at] += count / self._step
        return sums

    def _rate(self):
        """Stacked: the outline is the whole job's rate, each band one way's."""
        sums = self._per_second(lambda told: told.samples)
        top = nice(max(map(sum, zip(*sums.values()))))
        yield from self._axis(RATE, top, "samples/s", f"{top:.0f}")
        below = [0.0] * self._steps
        for number, (way, values) in enumerate(sums.items()):
            above = [low + value for low, value in zip(below, values)]
            outline = self._points(RATE, above, top) + self._points(RATE, below, top)[::-1]
            yield f'<polygon points="{" ".join(outline)}" fill="{COLOURS[way]}"/>'
            below, key = above, LEFT + 90 * number
            yield f'<rect x="{key}" y="20" width="12" height="12" fill="{COLOURS[way]}"/>'
            yield text(key + 18, 30, way)

    def _bandwidth(self):
        sums = self._per_second(lambda told: Counter({way: count / 1e9 for way, count in told.bytes.items()}))
        values = list(map(sum, zip(*sums.values())))
        top = nice(max(values))
        yield from self._axis(BANDWIDTH, top, "GB/s", f"{top:g}")
        points = " ".join(self._points(BANDWIDTH, values, top))
        yield f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.5"/>'

    def _points(self, panel, values, top):
        middles = (self._began + (at + 0.5) * self._step for at in range(self._steps))
        heights = (panel[0] + panel[1] * (1 - value / top) for value in values)
        return [f"{min(self._x(middle), WIDTH - RIGHT):.1f},{y:.1f}" for middle, y in zip(middles, heights)]

    def _stalls(self):
        """A row a worker, with a bar where it got no sample."""
        yield text(LEFT, STALLS[0] - 6, "stalls")
        for worker in range(self._tally.workers):
            y = STALLS[0] + ROW * worker
            yield line(LEFT, y + ROW / 2, WIDTH - RIGHT, y + ROW / 2, FAINT)
            yield text(LEFT - 8, y + 13, f"worker {worker + 1}", anchor="end")
        for told in self._tally.told:
            y = STALLS[0] + ROW * told.worker + 3
            for began, seconds in told.stalls:
                left, right = self._x(began), self._x(began + seconds)
                yield f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="{ROW - 6}" fill="{FAULT}"/>'

    def _seconds(self):
        step = nice(self._length / 10)
        for number in range(int(self._length / step) + 1):
            x = self._x(self._began + number * step)
            yield line(x, self._bottom, x, self._bottom + 4, INK)
            yield text(x, self._bottom + 18, f"{number * step:g} s", anchor="middle")

    def _events(self, events):
        """What happened, each on a line of its own in turn, so that words do not lie on each other."""
        for number, (moment, words) in enumerate(events):
            x, y = self._x(float(moment)), 50 + 14 * (number % 3)
            if not LEFT <= x <= WIDTH - RIGHT:
                continue
            yield line(x, y + 4, x, self._bottom, FAULT, dashes="4 3")
            yield text(x, y, words.strip(), anchor="middle", fill=FAULT)

    def _axis(self, panel, top, name, highest):
        y, height = panel
        yield text(LEFT, y - 6, name)
        for at, label in ((y, highest), (y + height, "0")):
            yield line(LEFT, at, WIDTH - RIGHT, at, FAINT)
            yield text(LEFT - 8, at + 4, label, anchor="end")


def nice(value):
    """The next round number that is not less."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-3)))
    return next(power * digit for digit in (1, 2, 3, 4, 5, 6, 8, 10) if power * digit >= value)


def line(x1, y1, x2, y2, stroke, dashes=""):
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"{dashed}/>'


def text(x, y, words, anchor="start", fill=INK, weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">'
        f"{escape(words)}</text>"
    )
