"""The page's one style: nothing from anywhere, light and dark, wide and narrow, and paper. A constant.

Written without the characters < and &, so that it is the same text in HTML and in XML.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#f6f7f9;--sheet:#fff;--ink:#171b21;--soft:#57606c;--rule:#e1e5ea;
--faint:#eef1f4;--link:#2f56c6;--get:#1c7f54;--post:#2f56c6;--patch:#8f5f00;--delete:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#0e1116;--sheet:#161a21;--ink:#e7eaee;--soft:#98a2af;
--rule:#2a303a;--faint:#1d222b;--link:#8aa9ff;--get:#4cc08a;--post:#8aa9ff;--patch:#e9b44c;--delete:#ff7a70}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-padding-top:12px}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif}
.frame{max-width:1240px;margin:0 auto;padding:32px 24px 64px;display:grid;
grid-template-columns:250px minmax(0,1fr);gap:0 36px}
header,footer{grid-column:1 / 3}
h1{font-size:30px;line-height:1.2;margin:0 0 4px;letter-spacing:-.015em}
h2{font-size:21px;line-height:1.3;margin:0 0 4px}
h3{font-size:17px;line-height:1.35;margin:0 0 6px;overflow-wrap:anywhere}
pre+h3{margin-top:16px}
h4{font-size:12px;margin:18px 0 4px;color:var(--soft);text-transform:uppercase;letter-spacing:.06em}
p{margin:0 0 10px;max-width:78ch}
a{color:var(--link)}
.whole{white-space:nowrap}
.soft{color:var(--soft)}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
code{font-size:.88em;overflow-wrap:anywhere}
pre code{font-size:1em}
pre{font-size:12.5px;line-height:1.5;background:var(--faint);border-radius:8px;padding:12px 14px;
margin:8px 0 0;overflow-x:auto}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow-y:auto;
padding:20px 4px 20px 0;font-size:13.5px}
nav strong{display:block;margin:12px 0 2px}
nav strong a{color:inherit;text-decoration:none}
nav ul{list-style:none;margin:0;padding:0}
nav li a{display:block;padding:2px 0;text-decoration:none;overflow-wrap:anywhere}
section{margin:20px 0 36px}
.sheet{background:var(--sheet);border:1px solid var(--rule);border-radius:10px;padding:20px 22px;
margin:14px 0 0}
.verb{display:inline-block;font:700 12px/1.6 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;
border:1px solid currentColor;border-radius:5px;padding:0 7px;margin:0 8px 0 0}
.get{color:var(--get)}.post{color:var(--post)}.patch{color:var(--patch)}.delete{color:var(--delete)}
.tag{display:inline-block;border:1px solid var(--rule);border-radius:5px;padding:0 7px;font-size:12.5px;
margin:0 6px 0 0;color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:13.5px;margin:2px 0 0}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12px;padding:5px 12px 5px 0;
border-bottom:1px solid var(--rule)}
td{padding:6px 12px 6px 0;vertical-align:top;border-bottom:1px solid var(--faint)}
tr:last-child td{border-bottom:0}
td:first-child{white-space:nowrap}
.members{table-layout:fixed}
.members th:first-child{width:26%}
.members th:nth-child(2){width:32%}
.plain th:first-child{width:84px}
.members td:first-child{white-space:normal}
td p{margin:0}
.mark{color:var(--soft);font-size:11.5px;white-space:nowrap}
.needed{color:var(--delete)}
.name{float:right;font-size:12.5px;color:var(--soft);text-decoration:none;margin:2px 0 0 12px}
details{margin:10px 0 0}
summary{cursor:pointer;color:var(--link);font-size:13.5px}
footer{color:var(--soft);font-size:13px}
@media (max-width:860px){
.frame{display:block;padding:20px 14px 48px}
h1{font-size:25px}
nav{position:static;max-height:none;columns:2;column-gap:18px;padding:8px 0}
nav strong{break-after:avoid}
nav li a{padding:5px 0}
.sheet{padding:14px 14px;border-radius:8px}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td{display:block;width:auto}
tr{padding:8px 0;border-bottom:1px solid var(--rule)}
tr:last-child{border-bottom:0}
td,td:first-child{border:0;padding:1px 0;white-space:normal;overflow-wrap:anywhere}
td:first-child{font-weight:600}
td:empty{display:none}
}
@media print{
nav{display:none}.frame{display:block;padding:0}.sheet{break-inside:avoid;border:0;padding:0}
}
"""
