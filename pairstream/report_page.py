"""The report as one page that needs nothing else: no network, no script, no font of its own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pairstream.page_frame import whole_page
from pairstream.report_figures import DatasetFigures, PartFigures
from pairstream.report_html import Bar, Html, bars, details, element, histogram, join, share, table
from pairstream.report_sample import Example, Excerpt, Histogram, Lengths
from schemas.manifest import Stage

SHOWN = 400
"""Characters of a text that stand open; a click shows the rest."""
ORIGINS = 30


def page(title: str, datasets: Sequence[DatasetFigures], *, has_tokenizer: bool) -> bytes:
    """The whole page, UTF-8. It is the same for the same figures."""
    sections = [_dataset(number, figures, has_tokenizer) for number, figures in enumerate(datasets)]
    body = join(element("h1", f"Report: {title}"), _contents(datasets) if len(datasets) > 1 else "", *sections)
    return whole_page(title, body)


def _contents(datasets: Sequence[DatasetFigures]) -> Html:
    rows = [
        (
            element("a", figures.dataset, href=f"#d{number}"),
            f"{figures.read:,}",
            f"{figures.written:,}",
            share(figures.written, figures.read),
            _size(sum(figures.bytes.values())),
        )
        for number, figures in enumerate(datasets)
    ]
    heads = ("dataset", "raw records", "pairs", "share", "size")
    return element("nav", table(heads, rows, numbers=4), aria_label="Datasets")


def _dataset(number: int, figures: DatasetFigures, has_tokenizer: bool) -> Html:
    sample = figures.sample
    of_sample = f"In a sample of {sample.records:,} pairs, taken evenly from all {figures.shards:,} shards."
    if not sample.records:
        of_sample = "No texts were read: the dataset holds none."
    return element(
        "section",
        element("h2", figures.dataset, dir="auto"),
        element("p", figures.tuple, dir="auto", class_="tuple"),
        _header(figures),
        element("h3", "Funnel"),
        _funnel(figures.read, figures.funnel, figures.records),
        _parts(figures.parts),
        element("h3", "Lengths"),
        _characters(figures.characters),
        element("p", of_sample),
        _lengths(sample.lengths, has_tokenizer, whole=figures.characters is not None),
        element("h3", "Duplicates"),
        _duplicates(figures),
        element("h3", "Contamination"),
        _contamination(figures),
        element("h3", "Origins and scripts"),
        _origins(figures),
        _scripts(figures),
        element("h3", "Pairs kept"),
        *([_example(example) for example in sample.examples] or [element("p", "None.")]),
        element("h3", "Records dropped"),
        _dropped(figures),
        element("h3", "How it was made"),
        *[_made(part) for part in figures.parts],
        id=f"d{number}",
    )


def _header(figures: DatasetFigures) -> Html:
    address, space, remark = figures.url.partition(" ")
    is_link = address.startswith(("https://", "http://"))  # anything else could be a script
    link = join(element("a", address, href=address, rel="noreferrer"), space, remark) if is_link else figures.url
    rows = {
        "licence": figures.licence,
        "citation": figures.citation,
        "from": link,
        "pairs": f"{figures.written:,} ({_listed(figures.records)})",
        "size": f"{_size(sum(figures.bytes.values()))} in {figures.shards:,} shards of {_parts_named(figures.parts)}",
        "folder": element("code", figures.folder),
        "content hash": element("code", figures.content_hash),
    }
    return _facts({name: value for name, value in rows.items() if value})


def _facts(rows: Mapping[str, str]) -> Html:
    pairs = (join(element("dt", name), element("dd", value, dir="auto")) for name, value in rows.items())
    return element("dl", *pairs)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


def _funnel(read: int, funnel: Sequence[Stage], records: Mapping[str, int]) -> Html:
    rows, drops, entered = [Bar("raw records", read)], [], read
    for stage in funnel:
        dropped = sum(stage.drops.values())
        rows.append(Bar(f"after {stage.name}", stage.kept, dropped))
        for reason, count in sorted(stage.drops.items(), key=lambda item: -item[1]):
            drops.append((stage.name, reason, f"{count:,}", share(count, entered), share(count, read)))
        entered = stage.kept
    drops += [("written", split, f"{count:,}", "", share(count, read)) for split, count in records.items()]
    plot = bars(rows, whole=read, heads=("stage", "records", "share"), caption="What each stage kept; paler: dropped")
    heads = ("stage", "reason or split", "records", "of stage", "of all")
    return join(plot, table(heads, drops, caption="Each reason to drop, and what was written", numbers=3))


def _parts_named(parts: Sequence[PartFigures]) -> str:
    return "one part" if len(parts) == 1 else f"{len(parts):,} parts"


def _parts(parts: Sequence[PartFigures]) -> Html:
    if len(parts) == 1:
        return Html("")
    tables = [
        join(element("h4", part.path or "first part", dir="auto"), _funnel(part.read, part.funnel, part.records))
        for part in parts
    ]
    return details(f"each of the {len(parts):,} parts", *tables)


def _characters(lengths: Histogram | None) -> Html:
    if lengths is None:
        return element("p", "The manifest holds no lengths of all records, or its parts count them in different bins.")
    return histogram(lengths.edges, lengths.counts, title=f"Characters, all pairs{_BINS}", unit="characters")


_BINS = ": share of texts, by bins that begin at the numbers below them"
_UNITS = {
    "characters": "Unicode code points.",
    "words": "Runs of characters between white space; languages that write none between words have few.",
    "tokens": "Of the given tokenizer, special tokens included, nothing cut.",
}


def _lengths(lengths: Mapping[str, Lengths], has_tokenizer: bool, *, whole: bool) -> Html:
    rows = [
        (
            role,
            unit,
            *(f"{length:,}" for length in (found.median, found.p90, found.p99, found.longest)),
        )
        for unit, of_unit in lengths.items()
        for role, found in of_unit.quantiles.items()
    ]
    if not rows:
        return Html("")
    plots = [
        histogram(found.histogram.edges, found.histogram.counts, title=f"{unit.capitalize()}, sample{_BINS}", unit=unit)
        for unit, found in lengths.items()
        if not (whole and unit == "characters")
    ]
    said = [element("li", element("b", f"{unit}: "), text) for unit, text in _UNITS.items() if unit in lengths]
    if not has_tokenizer:
        said.append(element("li", "No tokens were counted; give an encoder's folder with --tokenizer."))
    heads = ("text", "unit", "median", "90%", "99%", "longest")
    caption = "Lengths in the sample: so many of the texts are no longer than this"
    return join(table(heads, rows, caption=caption, numbers=4), *plots, element("ul", *said))


def _duplicates(figures: DatasetFigures) -> Html:
    dedup = next((stage for stage in figures.funnel if stage.name == "dedup"), None)
    dropped: str = element("p", "No stage of the job looked for duplicates.")
    if dedup is not None:
        entered = dedup.kept + sum(dedup.drops.values())
        rows = [Bar(reason, count) for reason, count in sorted(dedup.drops.items(), key=lambda item: -item[1])]
        rows.insert(0, Bar("kept", dedup.kept))
        caption = f"What became of the {entered:,} pairs that came to the stage"
        heads = ("outcome", "pairs", "share")
        found = bars(rows, whole=entered, heads=heads, caption=caption)
        dropped = found if dedup.drops else element("p", f"No duplicates among {entered:,} pairs.")
    frequent = figures.sample.frequent
    if not frequent:
        return join(dropped, element("p", "No text stands twice in the sample." if figures.sample.records else ""))
    roles = [role for role in ("anchor", "positive", "negative") if any(role in found.roles for found in frequent)]
    rows = [
        (_text(found.text, 160), *(f"{found.roles.get(role, 0):,}" for role in roles), f"{found.count:,}")
        for found in frequent
    ]
    heads = ("text", *(f"as {role}" for role in roles), "times")
    of = f"{figures.sample.records:,} pairs"
    caption = f"Texts that stand most often in the sample of {of}; case and white space do not count"
    return join(dropped, table(heads, rows, caption=caption, numbers=len(roles) + 1))


def _contamination(figures: DatasetFigures) -> Html:
    found = figures.contamination
    if found is None:
        said = "Not checked. To drop pairs whose texts stand in evaluation sets, give these to the job: "
        return element("p", said, element("code", "pairstream preprocess … --eval-texts FILE…"))
    parts = f", in {found.parts:,} of {len(figures.parts):,} parts" if len(figures.parts) > found.parts else ""
    said = [
        element(
            "p", f"{found.dropped:,} pairs were dropped because a text of theirs stands in an evaluation set{parts}."
        )
    ]
    if found.hits:
        rows = [Bar(name, count) for name, count in found.hits.items()]
        caption = "Hits in each evaluation set; a pair that hits two counts for both"
        heads = ("evaluation set", "pairs", "of hits")
        said.append(bars(rows, whole=sum(found.hits.values()), heads=heads, caption=caption))
    said += [element("p", "Looked for: ", element("code", _value(option))) for option in found.eval_texts]
    return join(*said)


def _origins(figures: DatasetFigures) -> Html:
    plots = []
    for kind, counts in figures.origins.items():
        named = [(name, count) for name, count in counts.items() if name]
        others = sum(counts.values()) - sum(count for _, count in named[:ORIGINS])
        rows = [Bar(name, count) for name, count in named[:ORIGINS]] + ([Bar("all others", others)] if others else [])
        caption = f"Pairs by {kind}: the {min(ORIGINS, len(named)):,} with most"
        plots.append(bars(rows, whole=sum(counts.values()), heads=(kind, "pairs", "share"), caption=caption))
    return join(*plots) if plots else element("p", "The source counts no origins, such as subreddits.")


def _scripts(figures: DatasetFigures) -> Html:
    rows = [Bar(name, count) for name, count in figures.sample.scripts.items()]
    if not rows:
        return Html("")
    caption = "Scripts of the sample's letters: not languages, of which many share a script"
    return bars(rows, whole=sum(row.value for row in rows), heads=("script", "letters", "share"), caption=caption)


def _dropped(figures: DatasetFigures) -> Html:
    reasons = {(stage.name, reason): count for stage in figures.funnel for reason, count in stage.drops.items()}
    examples = {(stage, reason): shown for stage, found in figures.dropped.items() for reason, shown in found.items()}
    if not reasons and not examples:
        return element("p", "None.")
    folded, bare = [], []
    for stage, reason in dict.fromkeys((*reasons, *examples)):
        count = reasons.get((stage, reason))
        name = f"{stage}: {reason}" + ("" if count is None else f", {count:,}")
        if shown := examples.get((stage, reason)):
            folded.append(details(name, *map(_example, shown)))
        else:
            bare.append(element("li", name, dir="auto"))
    if bare:
        hint = "No examples of these are at hand. preprocess sets aside what it drops with --keep-rejects DIR, "
        folded.append(join(element("p", hint, "and report shows it with --rejects DIR."), element("ul", *bare)))
    return join(*folded)


def _example(example: Example) -> Html:
    rows = (join(element("dt", found.role), element("dd", _text(found, SHOWN), dir="auto")) for found in example)
    return element("dl", *rows, class_="example")


def _text(excerpt: Excerpt, shown: int) -> Html:
    """A text, its rest folded; what a report does not keep of it is said."""
    text, length = excerpt.text, excerpt.characters
    lost = element("i", f" … {length - len(text):,} more characters") if length > len(text) else ""
    if len(text) <= shown:
        return element("span", text, lost, class_="text", dir="auto")
    start = element("span", text[:shown], class_="text", dir="auto")
    summary = element("summary", start, element("i", f" … ({length:,} characters)"))
    return element("details", summary, element("span", text, lost, class_="text", dir="auto"), class_="rest")


def _made(part: PartFigures) -> Html:
    bad = part.inputs.get("bad") or ()
    rows = {"inputs": ", ".join(_input(name, value) for name, value in part.inputs.items() if name != "bad")}
    if bad:
        rows["bad files"] = details(f"{len(bad):,}", element("ul", *(element("li", _value(file)) for file in bad)))
    if part.command:
        rows["command"] = element("code", shlex.join(part.command))
    for name, value in part.options.items():
        rows[name] = element("code", _value(value))
    heading = element("h4", part.path, dir="auto") if part.path else ""
    return join(heading, _facts({name: value for name, value in rows.items() if value}))


def _input(name: str, value: Any) -> str:
    if name == "bytes" and isinstance(value, int):
        return _size(value)
    return f"{value:,} {name}" if isinstance(value, int) else f"{name} {_value(value)}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _size(count: int) -> str:
    """Bytes in the largest unit that leaves a number of at least 1."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"
