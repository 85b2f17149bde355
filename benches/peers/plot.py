"""SVG plots, written by hand: no library, readable on light and dark pages, with their units and their source in them."""
import collections
import html
import math
import statistics

MIB = 1 << 20
COLOURS = {
    "duckdb": "#c98a00",
    "polars": "#2f80d0",
    "datafusion": "#8f6ad6",
    "pysail": "#2a9d8f",
    "pyspark": "#d1495b",
    "floor": "#8a8a8a",
    "polars-crate": "#7a5c3e",
    "windrow": "#2f80d0",
    "windrow-limited": "#c98a00",
}
PANELS = {"wall": "wall time", "cpu": "CPU seconds", "peak": "peak memory", "bytes": "output bytes"}
STYLE = """<style>
text { font: 11px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px } .small { font-size: 9px } .line { stroke: #8c959f; stroke-width: 1; fill: none }
.grid { stroke: #8c959f; stroke-opacity: .3; stroke-width: 1; fill: none }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>"""

Fit = collections.namedtuple("Fit", "base slope r2")


def number(value):
    """Three digits that matter."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def text(x, y, content, anchor="start", style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{html.escape(content)}</text>'


def line(x1, y1, x2, y2, style="line", extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}" {extra}/>'


def document(width, height, title, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">'
    return "\n".join([head, f"<title>{html.escape(title)}</title>", STYLE, *parts, "</svg>"]) + "\n"


def legend(names, x, y):
    parts = []
    for name in names:
        parts += [f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{COLOURS[name]}"/>', text(x + 14, y, name)]
        x += 24 + 7 * len(name)
    return parts


LEFT, PANEL, GAP, LANE, TOP = 90, 200, 24, 11, 90


def log_axis(rows):
    """A function from a ratio to 0…1, and the ticks: the powers of two that hold every ratio and 1."""
    values = [ratio[metric] for peers in rows.values() for ratio in peers.values() for metric in ratio] + [0.5, 2.0]
    low, high = math.floor(math.log2(min(values))) - 1, math.ceil(math.log2(max(values))) + 1
    ticks = [power for power in range(low, high + 1) if power % (1 if high - low < 7 else 2) == 0]
    return (lambda ratio: (math.log2(ratio) - low) / (high - low)), [2.0**power for power in ticks]


def fraction(tick):
    return f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}"


def bar(x0, y, place, name, ratio):
    """From 1 to the ratio, the ratio at its end."""
    one, end = x0 + PANEL * place(1.0), x0 + PANEL * place(ratio)
    left, right = min(one, end), max(one, end)
    anchor, at = ("end", left - 3) if ratio < 1 else ("start", right + 3)
    shape = f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 1):.1f}" height="{LANE - 3}" fill="{COLOURS[name]}"/>'
    return [shape, text(at, y + LANE - 4, f"{ratio:.2f}", anchor, "small")]


def panel(column, metric, rows, place, ticks, bottom):
    """One metric: a row a work, a lane a peer."""
    x0 = LEFT + column * (PANEL + GAP)
    parts = [text(x0 + PANEL / 2, TOP - 22, PANELS[metric], "middle", "title")]
    for tick in ticks:
        x = x0 + PANEL * place(tick)
        parts += [line(x, TOP - 4, x, bottom, "line" if tick == 1 else "grid"), text(x, TOP - 8, fraction(tick), "middle", "small")]
    y = TOP + 4
    for peers in rows.values():
        for name, ratio in peers.items():
            parts += bar(x0, y, place, name, ratio[metric])
            y += LANE
        y += LANE
    return parts


def ratio_plot(rows, source):
    """`rows` maps a work to peers and their ratios; whoever has none is left out."""
    rows = {work: {name: ratio for name, ratio in peers.items() if ratio} for work, peers in rows.items()}
    rows = {work: peers for work, peers in rows.items() if peers}
    bottom = TOP + sum(LANE * (len(peers) + 1) for peers in rows.values())
    width, height = LEFT + 4 * PANEL + 3 * GAP + 40, bottom + 40
    place, ticks = log_axis(rows)
    names = [name for name in COLOURS if any(name in peers for peers in rows.values())]
    parts = [text(10, 20, "windrow / peer: ratios of medians. Left of 1 windrow takes less (log scale)", style="title")]
    parts += legend(names, 10, 40)
    y = TOP + 4
    for work, peers in rows.items():
        parts.append(text(10, y + LANE * (len(peers) + 1) / 2, work))
        y += LANE * (len(peers) + 1)
    for column, metric in enumerate(PANELS):
        parts += panel(column, metric, rows, place, ticks, bottom)
    return document(width, height, "Ratios of windrow and its peers", parts + [text(10, height - 10, f"Source: {source}", style="small")])


def series_of(points, metric):
    """(scale, median) of every contender that has figures."""
    series = {}
    for point in points:
        for name, result in point["contenders"].items():
            if result["wall"] and not result["invalid"]:
                series.setdefault(name, []).append((point["scale"], statistics.median(result[metric])))
    return series


def fit(series):
    """The straight line of least squares."""
    xs, ys = [x for x, _ in series], [y for _, y in series]
    mean_x, mean_y = statistics.mean(xs), statistics.mean(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in series) / spread if spread else 0.0
    base = mean_y - slope * mean_x
    total = sum((y - mean_y) ** 2 for y in ys)
    rest = sum((y - base - slope * x) ** 2 for x, y in series)
    return Fit(base, slope, 1 - rest / total if total else 1.0)


def nice_ticks(top):
    """About five round values from 0 to at least the top."""
    raw = top / 5
    step = 10 ** math.floor(math.log10(raw))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= raw)
    return [step * count for count in range(math.ceil(top / step) + 1)]


def curve(name, points, x_at, y_at, top_scale):
    """The points of one contender and the line through them."""
    straight = fit(points)
    ends = [(scale, straight.base + straight.slope * scale) for scale in (0, top_scale)]
    colour = f'style="stroke: {COLOURS[name]}; stroke-width: 2; stroke-dasharray: 5 4"'
    parts = [line(x_at(ends[0][0]), y_at(ends[0][1]), x_at(ends[1][0]), y_at(ends[1][1]), extra=colour)]
    return parts + [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="4" fill="{COLOURS[name]}"/>' for x, y in points]


def scale_panel(x0, title, series, unit, limit=None):
    """One metric against the scale, with a limit that one contender must stay under."""
    width, height, top = 380, 260, 80
    top_scale = max(scale for points in series.values() for scale, _ in points)
    ticks = nice_ticks(max(value for points in series.values() for _, value in points))

    def x_at(scale):
        return x0 + width * scale / top_scale

    def y_at(value):
        return top + height - height * value / ticks[-1]

    parts = [text(x0, top - 14, title, style="title"), line(x0, top + height, x0 + width, top + height)]
    for tick in ticks:
        parts += [line(x0, y_at(tick), x0 + width, y_at(tick), "grid"), text(x0 - 6, y_at(tick) + 4, f"{tick:g}", "end", "small")]
    for scale in sorted({scale for points in series.values() for scale, _ in points}):
        parts += [line(x_at(scale), top + height, x_at(scale), top + height + 4), text(x_at(scale), top + height + 16, f"{scale:g}", "middle", "small")]
    parts.append(text(x0 + width / 2, top + height + 32, "scale factor of TPC-H", "middle"))
    if limit:
        parts += [line(x0, y_at(limit), x0 + width, y_at(limit)), text(x0 + width, y_at(limit) - 4, f"limit {limit} {unit}", "end", "small")]
    for place, (name, points) in enumerate(series.items()):
        straight = fit(points)
        parts += curve(name, points, x_at, y_at, top_scale)
        label = f"{name}: {number(straight.base)} {unit} + {number(straight.slope)} {unit} × scale, R² {straight.r2:.4f}"
        parts.append(text(x0 + 8, top + 12 + 14 * place, label, style="small"))
    return parts


def scale_plot(points, source):
    """Time and peak memory against the scale, with the straight lines."""
    walls = series_of(points, "wall")
    peaks = {name: [(x, y / MIB) for x, y in each] for name, each in series_of(points, "peak").items()}
    parts = [text(10, 20, "W1 of windrow at several scales: medians and the line of least squares", style="title")]
    parts += legend(list(walls), 10, 40)
    parts += scale_panel(60, "wall time, s", walls, "s")
    parts += scale_panel(520, "peak memory, MiB", peaks, "MiB", points[0]["limit_mib"])
    return document(930, 410, "Time and peak memory against scale", parts + [text(10, 400, f"Source: {source}", style="small")])
