"""The frame of a page that needs nothing else: no network, no script, no font of its own; light and dark."""

from __future__ import annotations

from pairstream.report_html import Html, element


def whole_page(title: str, body: Html, *, style: str = "") -> bytes:
    """A page, UTF-8, around the content of `main`; `style` is CSS of its own. Same content, same bytes."""
    return _PAGE.format(title=element("title", title), style=_STYLE + style, body=element("main", body)).encode()


_STYLE = """
:root { color-scheme: light dark;
  --paper: #fcfcfb; --raised: #f3f2ee; --ink: #1c1c1a; --muted: #5d5c58; --line: #dcdbd5;
  --series0: #2a6fc9; --series1: #d9762b; --series2: #4f8f5b; --lost: #eec9ae; --link: #1f5fb4; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #191918; --raised: #242422; --ink: #efeeea; --muted: #a9a8a1; --line: #3b3b38;
  --series0: #6aa5f0; --series1: #e8924f; --series2: #7fbf8b; --lost: #6b4630; --link: #8dbcf7; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
dd, li, h2, .text { overflow-wrap: anywhere; }
h1 { font-size: 1.1rem; color: var(--muted); font-weight: 500; }
h2 { font-size: 1.5rem; margin: 0; } h3 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
h4 { margin: 1.2rem 0 .4rem; }
section { border-top: 2px solid var(--ink); margin-top: 2.5rem; padding-top: 1rem; }
a { color: var(--link); } code { font: .85em/1.5 ui-monospace, monospace; }
.tuple { margin: 0 0 1rem; color: var(--muted); }
.wide { overflow-x: auto; margin: .6rem 0 1.4rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption, figcaption { text-align: start; color: var(--muted); font-size: .92rem; padding-bottom: .4rem; }
th, td { text-align: start; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; } thead th { color: var(--muted); font-weight: 400; vertical-align: bottom; }
.n { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; padding-inline: .6rem 0; }
thead .n { white-space: normal; }
.bars th { width: 26%; } .bar { width: 99%; min-width: 6rem; }
.bar svg { display: block; margin-top: .3rem; }
.kept, .series0 { fill: var(--series0); } .series1 { fill: var(--series1); } .series2 { fill: var(--series2); }
.lost { fill: var(--lost); }
figure { margin: 1rem 0 1.6rem; }
.plot { height: 13rem; padding: .8rem 0 1.6rem 2.9rem; }
.plot svg { display: block; overflow: visible; }
.plot text { fill: var(--muted); font-size: 12px; font-variant-numeric: tabular-nums; }
.plot.steps { padding-inline-start: 3.6rem; padding-block-end: 2.6rem; height: 14rem; }
.grid { stroke: var(--line); } .axis { stroke: var(--muted); }
figcaption span:first-child { display: block; }
.key { margin-inline-end: 1rem; color: var(--ink); white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: .7rem; height: .7rem; margin-inline-end: .35rem; }
.key0::before { background: var(--series0); } .key1::before { background: var(--series1); }
.key2::before { background: var(--series2); }
.bad { stroke: var(--bad); stroke-width: 2; } .keybad::before { background: var(--bad); }
.alarm { color: var(--bad); font-weight: 500; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1rem; margin: .5rem 0; }
dt { color: var(--muted); } dd { margin: 0; }
.example { background: var(--raised); padding: .7rem .9rem; border-radius: 4px; margin: .6rem 0; }
.text { white-space: pre-wrap; } i { color: var(--muted); }
summary { cursor: pointer; } section details { margin: .4rem 0; }
.rest { margin: 0; } .rest[open] > summary .text { display: none; }
@media (max-width: 34rem) {
  .odd { display: none; } table { font-size: .85rem; } th, td { padding-inline-end: .5rem; }
  .n { padding-inline: .4rem 0; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: .4rem; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
{title}
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
