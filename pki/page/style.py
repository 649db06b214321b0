"""The page's one style: no font, image or script from anywhere, light and dark, and paper. A constant.

Written without the characters < and &, so that it is the same text in HTML and in XML.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#f6f7f9;--sheet:#fff;--ink:#171b21;--soft:#57606c;--rule:#e1e5ea;
--faint:#eef1f4;--fine:#1c7f54;--fine-tint:#cfe8dc;--due:#8f5f00;--due-fill:#d99a18;--due-tint:#f6e4bd;
--critical:#b3261e;--critical-tint:#f7d2ce;--past:#a9b1bb;--past-tint:#dde1e6;--now:#2f56c6}
@media (prefers-color-scheme:dark){:root{--paper:#0e1116;--sheet:#161a21;--ink:#e7eaee;--soft:#98a2af;
--rule:#2a303a;--faint:#1d222b;--fine:#4cc08a;--fine-tint:#1d4433;--due:#e9b44c;--due-fill:#e0a63a;
--due-tint:#4a3a17;--critical:#ff7a70;--critical-tint:#56231f;--past:#5b6572;--past-tint:#2b323c;--now:#8aa9ff}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1280px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:2px 0 4px;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:19px;line-height:1.3;margin:0 0 4px;letter-spacing:-.005em}
h3{font-size:13px;margin:22px 0 6px;color:var(--soft);font-weight:600;
text-transform:uppercase;letter-spacing:.06em}
p{margin:0 0 10px;max-width:84ch}
a{color:var(--now)}
.soft,.over{color:var(--soft)}
.over{font-size:13px;font-weight:600;letter-spacing:.06em;text-transform:uppercase}
code,.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.88em;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:20px 0 0;font-size:14px}
section,.sheet{background:var(--sheet);border:1px solid var(--rule);border-radius:10px;padding:22px 24px;
margin:20px 0 0}
.verdict{display:flex;gap:18px;align-items:flex-start;border-left-width:6px}
.verdict.fine{border-left-color:var(--fine)}.verdict.due{border-left-color:var(--due-fill)}
.verdict.critical{border-left-color:var(--critical)}
.verdict .sign{font-size:34px;line-height:1;font-weight:700;min-width:30px;text-align:center}
.verdict strong{font-size:21px;line-height:1.25}
.verdict p{margin:4px 0 0}
.fine.sign,.mark.fine{color:var(--fine)}.due.sign,.mark.due{color:var(--due)}
.critical.sign,.mark.critical{color:var(--critical)}
.scope ul{margin:8px 0 0;padding-left:20px}.scope li{margin:0 0 4px;max-width:100ch}
table{border-collapse:collapse;width:100%;font-size:13.5px}
caption{text-align:left;color:var(--soft);padding:0 0 6px}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12px;padding:6px 10px 6px 0;
vertical-align:bottom;border-bottom:1px solid var(--rule)}
td{padding:6px 10px 6px 0;vertical-align:top;border-bottom:1px solid var(--faint)}
tr:last-child td{border-bottom:0}
td.sign{width:20px;font-weight:700}
td.what{width:250px;font-weight:500;overflow-wrap:anywhere}
td.until{white-space:nowrap;width:160px}td.bar{width:116px;vertical-align:middle}td.percent{width:56px;white-space:nowrap}
td small{display:block;color:var(--soft);font-size:12px;overflow-wrap:anywhere}
.whole,td strong,th{white-space:nowrap}.serial{min-width:152px}
.past td{color:var(--soft)}
.tag{display:inline-block;border:1px solid var(--rule);border-radius:5px;padding:0 6px;font-size:12px;
white-space:nowrap;margin:0 4px 3px 0}
td .tag small{display:inline}
.tag.critical{border-color:var(--critical);color:var(--critical)}.tag.due{border-color:var(--due);color:var(--due)}
.tag.current,.tag.issuing,.tag.trusted{border-color:var(--fine);color:var(--fine)}
svg{display:block}
svg .bar-all{fill:var(--past-tint)}
svg .bar-rest.fine{fill:var(--fine)}svg .bar-rest.due{fill:var(--due-fill)}
svg .bar-rest.critical{fill:var(--critical)}
figure{margin:14px 0 0}
.plot{width:100%;height:auto;margin:0 0 14px}
.plot.narrow{display:none}
.plot text{font-size:11.5px;fill:var(--ink);font-family:inherit}
.plot text.panel{font-size:12.5px;font-weight:600}
.plot text.label,.plot text.left{fill:var(--soft);font-size:11px}
.plot text.label,.plot text.name,.plot text.left,.plot text.mark{stroke:var(--sheet);stroke-width:4px;
paint-order:stroke;stroke-linejoin:round}
.plot text.name.past{fill:var(--soft)}
.plot text.mark{font-weight:700}
.plot text.mark.fine{fill:var(--fine)}.plot text.mark.due{fill:var(--due)}
.plot text.mark.critical{fill:var(--critical)}.plot text.mark.past{fill:var(--soft)}
.plot .axis{stroke:var(--past);stroke-width:1}
.plot .tick{stroke:var(--rule);stroke-width:1}
.plot .lane{stroke:var(--faint);stroke-width:1}
.plot .now{stroke:var(--now);stroke-width:1.5;stroke-dasharray:4 3}
.plot .now-plate{fill:var(--now)}
.plot text.now-label{fill:var(--sheet);font-size:10.5px;font-weight:700}
.life.fine{fill:var(--fine-tint)}.life.due{fill:var(--due-tint)}.life.critical{fill:var(--critical-tint)}
.life.past{fill:var(--past-tint)}
.rest.fine{fill:var(--fine)}.rest.due{fill:var(--due-fill)}.rest.critical{fill:var(--critical)}
.strip{fill:var(--past)}.strip.revoked{fill:var(--critical)}
.due-mark{fill:var(--sheet);stroke:var(--ink);stroke-width:1.2}
.critical-mark{fill:var(--ink);stroke:var(--sheet);stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;max-width:none;font-size:12.5px;color:var(--soft);
margin:0 0 6px;padding:0}
.legend span{display:inline-flex;align-items:center;gap:6px}
details{margin:10px 0 0}summary{cursor:pointer;color:var(--now);font-size:14px}
footer{color:var(--soft);font-size:13px;margin:24px 0 0}
@media (max-width:900px){
main{padding:20px 14px 48px}section,.sheet{padding:16px 14px;border-radius:8px}
h1{font-size:24px}
.plot.wide{display:none}.plot.narrow{display:block;max-width:560px}
table.cards thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table.cards,table.cards tbody,table.cards tr,table.cards td{display:block;width:auto;max-width:none;
min-width:0}
table.cards tr{padding:10px 0;border-bottom:1px solid var(--rule)}
table.cards tr:last-child{border-bottom:0}
table.cards td{border:0;padding:2px 0 2px 112px;min-height:22px;position:relative}
table.cards td strong{white-space:normal}
table.cards td::before{content:attr(data-label);position:absolute;left:0;width:104px;color:var(--soft);
font-size:12px;line-height:20px}
table.lines tr{display:grid;grid-template-columns:22px 1fr auto;column-gap:4px;padding:8px 0;
border-bottom:1px solid var(--faint)}
table.lines tbody,table.lines{display:block}
table.lines td{border:0;padding:0;width:auto}
table.lines td.until,table.lines td.advice{grid-column:2 / 4}
table.lines td.bar{grid-column:2;align-self:center}table.lines td.bar svg{width:100%;max-width:240px}
table.lines td.percent{grid-column:3;text-align:right}
table.lines td.what{grid-column:2 / 4}
table.lines td:empty{display:none}
}
@media print{
:root{color-scheme:light;--paper:#fff;--sheet:#fff;--ink:#000;--soft:#444;--rule:#ccc;--faint:#e6e6e6;
--fine:#1c7f54;--fine-tint:#cfe8dc;--due:#8f5f00;--due-fill:#d99a18;--due-tint:#f6e4bd;--critical:#b3261e;
--critical-tint:#f7d2ce;--past:#a9b1bb;--past-tint:#dde1e6;--now:#2f56c6}
@page{size:A4 landscape;margin:12mm}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:10.5pt}main{max-width:none;padding:0}
nav,details:not([open]){display:none}
section,.sheet{border:0;padding:0;margin:16px 0 0;border-radius:0}
.verdict{border-left:5px solid;padding-left:12px}
table{font-size:8pt}thead{display:table-header-group}tr,.verdict,.plot{break-inside:avoid}h2,h3{break-after:avoid}
td small{font-size:7.5pt}
.plot.wide{display:block;max-height:178mm}.plot.narrow{display:none}
}
"""
