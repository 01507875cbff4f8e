"""The look of the report: the app's colours, light and dark, wide and on a phone."""

STYLE = """
:root { color-scheme: light dark;
  --ink: #16202B; --muted: #56636F; --line: #DDE3E9; --ground: #FFFFFF; --raised: #F4F6F8;
  --kept: #0F62A8; --other: #B4BEC8; --gone: #D1490C; --band: #DCE2E8; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #E4EAF0; --muted: #9AA8B5; --line: #2B3744; --ground: #10161D; --raised: #19222C;
  --kept: #4FA3E3; --other: #556370; --gone: #FF8A4C; --band: #33404D; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 "Source Sans 3", "Source Sans Pro", system-ui, "Segoe UI", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: .2rem 0 .6rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 0 0 .2rem; }
section { margin-top: 2.8rem; }
p { margin: .3rem 0; }
.eyebrow, .note, figcaption, th { color: var(--muted); font-size: .875rem; }
.eyebrow { letter-spacing: .06em; text-transform: uppercase; }
.lead { font-size: 1.25rem; line-height: 1.45; max-width: 46rem; }
.lead b { color: var(--kept); }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .8rem; margin-top: 1.6rem; }
.tile { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.25; font-weight: 600; }
.tile span { color: var(--muted); font-size: .875rem; display: block; }
ol { padding-left: 1.3rem; margin: .5rem 0; } li { margin: .2rem 0; }
table { width: 100%; border-collapse: collapse; margin-top: .7rem;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; text-align: left; } th, td { padding: .38rem .5rem; vertical-align: middle;
  border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; white-space: nowrap; }
td.name { width: 32%; overflow-wrap: break-word; } td.bar { width: 30%; }
.track { position: relative; height: 1.05rem; min-width: 4.5rem; }
.track i { position: absolute; top: 0; bottom: 0; border-radius: 2px; }
.i-other { background: var(--other); } .i-kept { background: var(--kept); }
.i-gone { border: 1.5px solid var(--gone); }
.i-band { background: var(--band); top: -3px !important; bottom: -3px !important; }
.beyond { color: var(--gone); font-weight: 600; }
figure { margin: .8rem 0 0; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--muted); font: 12px system-ui, sans-serif; }
.s-all { fill: var(--other); } .s-kept { fill: var(--kept); }
.s-axis { stroke: var(--line); stroke-width: 1; }
.key { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin: 0 .35em 0 0;
  position: relative; }
.keys span { margin-right: 1.2rem; white-space: nowrap; }
.sample { border: 1px solid var(--line); border-left: 4px solid var(--other); border-radius: .4rem;
  padding: .8rem 1rem; margin-top: .9rem; background: var(--raised); }
.sample.in { border-left-color: var(--kept); }
.sample header { display: flex; flex-wrap: wrap; gap: .2rem .9rem; font-size: .875rem;
  color: var(--muted); } .sample header b { color: var(--ink); }
.turn { margin-top: .6rem; } .turn > span { color: var(--muted); font-size: .8rem; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit;
  unicode-bidi: plaintext; }
code { font: .85rem/1.5 ui-monospace, "Source Code Pro", monospace; overflow-wrap: anywhere; }
code.block { display: block; background: var(--raised); border: 1px solid var(--line);
  border-radius: .4rem; padding: .7rem .9rem; margin-top: .5rem; white-space: pre-wrap; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem;
  color: var(--muted); font-size: .875rem; }
@media (max-width: 640px) { main { padding: 1.4rem 1rem 3rem; } h1 { font-size: 1.6rem; }
  .lead { font-size: 1.1rem; } .tiles { grid-template-columns: repeat(2, 1fr); }
  th, td { padding: .38rem .25rem; }
  svg text { font-size: 22px; } .wide { display: none; }
  td.name { width: auto; min-width: 6.2rem; word-break: break-word; } td.bar { width: 34%; } }
@media print { section { break-inside: avoid; } body { background: none; } }
"""
