"""results.json as Markdown tables and plots; fills the marked places of a document."""
import re
import statistics

import plot
import results
from plot import MIB, number

METRICS = ("wall", "cpu", "peak", "bytes")


def median(result, metric):
    """Of the runs; the output has one size."""
    return result["bytes"] if metric == "bytes" else statistics.median(result[metric])


def figures(result):
    """The cells of absolute figures."""
    low, high = min(result["wall"]), max(result["wall"])
    spread = f" ({number(low)}–{number(high)})" if len(result["wall"]) > 1 else ""
    megabytes = [number(median(result, metric) / MIB) for metric in ("peak", "bytes")]
    return [number(median(result, "wall")) + spread, number(median(result, "cpu")), *megabytes, str(result["files"])]


def ratios(ours, theirs):
    """ours / theirs; nothing where one of both is not there."""
    if ours["invalid"] or theirs["invalid"] or not (ours["wall"] and theirs["wall"]):
        return {}
    return {metric: median(ours, metric) / median(theirs, metric) for metric in METRICS}


def row(name, result, ratio):
    if result["invalid"]:
        return [name, f"no figure: {result['invalid'].replace('|', '/')}"] + [""] * 8
    label = f"{name} ({result['remark']})" if result.get("remark") else name
    return [label, *figures(result), *(f"{ratio[metric]:.2f}" if ratio else "" for metric in METRICS)]


HEAD = ["", "wall s", "CPU s", "peak MiB", "output MiB", "files", "windrow / it: wall", "CPU", "peak", "output"]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def work_text(name, record):
    """One work: its title, its table, what stands beside it."""
    measured = record["measured"]
    rows = [row(each, result, {} if each == "windrow" else ratios(measured["windrow"], result)) for each, result in measured.items()]
    parts = [f"### {name}: {record['title']} (scale {record['scale']})", table(HEAD, rows)]
    ours = measured["windrow"]
    if ours["wall"] and any(ours["between"]):
        parts.append(f"Between windrow's two processes, not counted: {ours['note']}, {number(statistics.median(ours['between']))} s.")
    return "\n\n".join(parts)


def works_text(works):
    texts = [work_text(name, record) for name, record in works.items() if name not in ("memory", "scale")]
    return "\n\n".join(texts) or "Not measured."


def memory_text(works):
    """The same work without a limit and with one."""
    if "memory" not in works:
        return "Not measured."
    measured = works["memory"]["measured"]
    rows = [row(name, result, {})[:6] for name, result in measured.items()]
    parts = [table(HEAD[:6], rows)]
    limited = measured["windrow-limited"]
    ratio = ratios(limited, measured["windrow"])
    if ratio:
        parts.append(f"`{limited['note']}`: wall × {ratio['wall']:.2f}, CPU × {ratio['cpu']:.2f}, peak × {ratio['peak']:.2f}.")
    return "\n\n".join(parts)


def scale_text(works):
    """Time and peak at every scale, and how straight the line is."""
    if "scale" not in works:
        return "Not measured."
    rows, lines = [], []
    for point in works["scale"]["measured"]:
        for name, result in point["contenders"].items():
            rows.append([number(point["scale"]), f"{point['rows']:,}", *row(name, result, {})[:6]])
    for name, series in plot.series_of(works["scale"]["measured"], "wall").items():
        fit = plot.fit(series)
        lines.append(f"- {name}: wall = {number(fit.base)} s + {number(fit.slope)} s × scale, R² {fit.r2:.4f}")
    return "\n\n".join([table(["scale", "rows", *HEAD[:6]], rows), "\n".join(lines)])


def machine_text(works):
    """On what, with what, by which commands."""
    machines, versions, commands = [], {}, {}
    for name, record in works.items():
        box = record["machine"]
        text = f"{box['cores']} cores, {box['cpu']}, {box['memory_gib']} GiB, Linux {box['kernel']}"
        machines += [text] if text not in machines else []
        for tool, version in record["versions"].items():
            versions.setdefault(tool, [])
            versions[tool] += [version] if version not in versions[tool] else []
        command = (record["commit"], str(record["runs"]), str(record["threads"]), f"`{record['command']}`")
        commands.setdefault(command, []).append((name, record["date"], f"{box['load_before']:.1f}"))
    rows = [[", ".join(name for name, _, _ in each), each[0][1], ", ".join(load for _, _, load in each), *command] for command, each in commands.items()]
    told = ", ".join(f"{tool} {' and '.join(map(str, found))}" for tool, found in versions.items())
    head = ["works", "begun", "load of the machine before each", "commit", "runs", "threads", "command"]
    return "\n\n".join(["; ".join(machines) + ".", f"Versions: {told}.", table(head, rows)])


def sections(works):
    return {"machine": machine_text(works), "works": works_text(works), "memory": memory_text(works), "scale": scale_text(works)}


def fill(text, found):
    """Replaces what stands between `<!-- results: NAME -->` and `<!-- end of results -->`."""
    for name, content in found.items():
        begin, end = f"<!-- results: {name} -->", "<!-- end of results -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"the document has no place {begin} … {end}")
        text = pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)
    return text


def plots(works, folder, stem):
    """Writes the SVG files where there is something to draw; answers the image of each section."""
    rows = {name: {each: ratios(record["measured"]["windrow"], result) for each, result in record["measured"].items() if each != "windrow"}
            for name, record in works.items() if name not in ("memory", "scale")}
    images = {}
    if any(ratio for peers in rows.values() for ratio in peers.values()):
        (folder / f"{stem}-ratios.svg").write_text(plot.ratio_plot(rows, source(works, rows)))
        images["works"] = f"![Ratios of windrow and its peers]({stem}-ratios.svg)"
    if "scale" in works and plot.series_of(works["scale"]["measured"], "wall"):
        (folder / f"{stem}-scale.svg").write_text(plot.scale_plot(works["scale"]["measured"], source(works, ["scale"])))
        images["scale"] = f"![Time and peak memory against scale]({stem}-scale.svg)"
    return images


def illustrated(found, images):
    """Every section with its image, if it has one."""
    return {name: "\n\n".join(filter(None, [images.get(name), text])) for name, text in found.items()}


def source(works, names):
    """Where a plot's figures come from, in a line."""
    records = [works[name] for name in names]
    commits = ", ".join(sorted({record["commit"] for record in records}))
    dates = sorted({record["date"][:10] for record in records})
    box = records[0]["machine"]
    return f"benches/peers, windrow {commits}, {' to '.join(sorted({dates[0], dates[-1]}))}, {records[0]['threads']} threads of {box['cpu']}"


def write(out, document):
    """benchmarks.md and the plots beside results.json, and the marked places of a document."""
    works = dict(sorted(results.read(out / "results.json")["works"].items()))
    if not works:
        raise SystemExit(f"nothing is measured yet: {out / 'results.json'}")
    found = sections(works)
    shown = illustrated(found, plots(works, out, "benchmarks"))
    (out / "benchmarks.md").write_text("\n\n".join(f"## {name}\n\n{text}" for name, text in shown.items()) + "\n")
    if document:
        images = plots(works, document.parent, document.stem)
        document.write_text(fill(document.read_text(), illustrated(found, images)))
