"""The run as a picture: samples/s of each way and GB/s over time, when which worker stalled, what happened meanwhile.

SVG, written by hand: a few shapes need no library.
"""

import math
from xml.sax.saxutils import escape

from readers import WAYS

WIDTH, LEFT, RIGHT = 960, 72, 24
# Panels below each other: how high each is, how far apart, and where the first begins.
HIGH, APART, TOP = 84, 36, 72
ROW = 18
# Colours that the colour-blind tell apart (Okabe and Ito).
COLOURS = dict(zip(WAYS, ("#0072b2", "#e69f00", "#009e73")))
INK, FAINT, FAULT = "#333333", "#dddddd", "#b22222"
# The finest step in time, and the most of them.
FINEST, STEPS = 0.25, 240


def draw(tally, events):
    """Draws what was told; `events` are [unix seconds, words], such as when a disk was lost."""
    began, ended = tally.epochs[0].began, tally.epochs[-1].ended
    picture = Picture(tally, began, ended)
    height = picture.bottom + 48
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="sans-serif" font-size="12" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *picture.lines(events),
            "</svg>\n",
        ]
    )


class Picture:
    def __init__(self, tally, began, ended):
        self._tally, self._began, self._length = tally, began, ended - began
        self._step = max(FINEST, self._length / STEPS)
        self._steps = int(self._length / self._step) + 1
        self._stalls_at = TOP + (len(WAYS) + 1) * (HIGH + APART)
        self.bottom = self._stalls_at + ROW * tally.workers

    def lines(self, events):
        yield from self._epochs()
        yield from self._rates()
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
                f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{self.bottom - TOP}" '
                'fill="#f6f6f6"/>'
            )
            yield text(left + 4, TOP + 14, f"epoch {epoch.number}", weight="bold")

    def _rates(self):
        """A panel for each way, since one way may be a hundred times as fast as another."""
        for number, way in enumerate(WAYS):
            y, values = TOP + number * (HIGH + APART), self._per_second(lambda told: told.samples[way])
            yield from self._panel(y, values, f"{way}, samples/s")
            ends = [f"{self._x(moment):.1f},{y + HIGH}" for moment in (self._began, self._began + self._length)]
            points = " ".join([ends[0], *self._points(y, values), ends[1]])
            yield f'<polygon points="{points}" fill="{COLOURS[way]}"/>'

    def _bandwidth(self):
        y, values = TOP + len(WAYS) * (HIGH + APART), self._per_second(lambda told: told.bytes.total() / 1e9)
        yield from self._panel(y, values, "all, GB/s")
        points = " ".join(self._points(y, values))
        yield f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.5"/>'

    def _per_second(self, count):
        """How much fell into each step of time, by the second."""
        sums = [0.0] * self._steps
        for told in self._tally.told:
            at = min(int((told.ended - self._began) / self._step), self._steps - 1)
            sums[at] += count(told) / self._step
        return sums

    def _points(self, y, values):
        top, middles = nice(max(values)), (self._began + (at + 0.5) * self._step for at in range(self._steps))
        heights = (y + HIGH * (1 - value / top) for value in values)
        return [f"{min(self._x(middle), WIDTH - RIGHT):.1f},{height:.1f}" for middle, height in zip(middles, heights)]

    def _panel(self, y, values, name):
        yield text(LEFT, y - 6, name)
        for at, label in ((y, f"{nice(max(values)):g}"), (y + HIGH, "0")):
            yield line(LEFT, at, WIDTH - RIGHT, at, FAINT)
            yield text(LEFT - 8, at + 4, label, anchor="end")

    def _stalls(self):
        """A row a worker, with a bar where it got no sample."""
        yield text(LEFT, self._stalls_at - 6, "stalls")
        for worker in range(self._tally.workers):
            y = self._stalls_at + ROW * worker
            yield line(LEFT, y + ROW / 2, WIDTH - RIGHT, y + ROW / 2, FAINT)
            yield text(LEFT - 8, y + 13, f"worker {worker + 1}", anchor="end")
        for told in self._tally.told:
            y = self._stalls_at + ROW * told.worker + 3
            for began, seconds in told.stalls:
                left, right = self._x(began), self._x(began + seconds)
                yield f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="{ROW - 6}" fill="{FAULT}"/>'

    def _seconds(self):
        step = nice(self._length / 10)
        for number in range(int(self._length / step) + 1):
            x = self._x(self._began + number * step)
            yield line(x, self.bottom, x, self.bottom + 4, INK)
            yield text(x, self.bottom + 18, f"{number * step:g} s", anchor="middle")

    def _events(self, events):
        """What happened, each on a line of its own in turn, so that words do not lie on each other."""
        for number, (moment, words) in enumerate(events):
            x, y = self._x(float(moment)), 16 + 14 * (number % 3)
            if not LEFT <= x <= WIDTH - RIGHT:
                continue
            yield line(x, y + 4, x, self.bottom, FAULT, dashes="4 3")
            yield text(x, y, words.strip(), anchor="middle", fill=FAULT)


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
