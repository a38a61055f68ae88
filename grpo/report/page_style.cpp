#include "grpo/report/page_style.h"

namespace cohort {

const std::string_view page_style = R"css(
:root { color-scheme: light dark;
  --page: #f7f6f3; --card: #ffffff; --ink: #20242a; --soft: #58616c; --faint: #87909b; --rule: #e5e3de; --grid: #eeece8;
  --r0: #2a63c4; --r1: #c2611a; --r2: #0f8377; --r3: #a63b74; --r4: #7351b5; --r5: #6c7480;
  --good: #1b7a49; --good-bg: #e3f3ea; --bad: #ab352d; --bad-bg: #f9e7e5; --mid: #8a5d00; --mid-bg: #f8efd9; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14161a; --card: #1b1e23; --ink: #e4e7eb; --soft: #a3abb5; --faint: #757e89; --rule: #2b3037; --grid: #272b31;
  --r0: #7aa7f2; --r1: #ec9a5e; --r2: #4fc0b2; --r3: #df86b3; --r4: #ae93e6; --r5: #a0a8b3;
  --good: #6ccb98; --good-bg: #1b3428; --bad: #ee8d85; --bad-bg: #3c2321; --mid: #dfb457; --mid-bg: #362c15; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1200px; margin: 0 auto; padding: 44px 24px 80px; }
h1 { font-size: 30px; font-weight: 650; letter-spacing: -.02em; line-height: 1.2; margin: 0; }
h2 { font-size: 20px; font-weight: 620; letter-spacing: -.01em; margin: 52px 0 2px; }
h3 { font-size: 13px; font-weight: 600; color: var(--soft); margin: 26px 0 10px; }
.lead { color: var(--soft); margin: 4px 0 0; max-width: 70ch; }
.note { color: var(--soft); font-size: 13px; margin: 14px 0 0; }
.card, .tile, .scroll, .example, details.more { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(168px, 1fr)); margin-top: 26px; }
.tile { padding: 14px 16px 12px; }
.tile b { display: block; font-size: 18px; font-weight: 620; letter-spacing: -.015em; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.legend { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 10px 0; margin-top: 18px;
  background: var(--page); font-size: 14px; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 7px; }
.card { position: relative; padding: 14px 16px 12px; min-width: 0; }
.card header { display: flex; justify-content: space-between; gap: 12px; align-items: baseline; }
.card h4 { margin: 0; font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
.card output { color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; text-align: right; }
.card output.live { position: absolute; top: 14px; right: 16px; max-width: calc(100% - 32px); padding-left: 10px; background: var(--card); }
.card code { display: block; color: var(--faint); font: 11.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.card p { margin: 6px 0 0; color: var(--soft); font-size: 13px; line-height: 1.45; }
.dashes { color: var(--soft); font-size: 12px; display: flex; gap: 14px; }
.dashes svg { width: 26px; height: 8px; margin-right: 5px; }
svg.chart { display: block; width: 100%; height: auto; margin: 8px 0 0; touch-action: pan-y; }
svg text { font: 10px system-ui, sans-serif; fill: var(--faint); font-variant-numeric: tabular-nums; }
path { fill: none; } .gridlines { stroke: var(--grid); stroke-width: 1; }
.line { stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; } .every { stroke-width: 1; opacity: .3; }
.d1 { stroke-dasharray: 5 4; } .d2 { stroke-dasharray: 1 4; } .cross { stroke: var(--faint); stroke-width: 1; }
.r0 { stroke: var(--r0); } .r1 { stroke: var(--r1); } .r2 { stroke: var(--r2); } .r3 { stroke: var(--r3); } .r4 { stroke: var(--r4); } .r5 { stroke: var(--r5); }
circle { stroke: none !important; } circle.r0, .bar.r0 { fill: var(--r0); } circle.r1, .bar.r1 { fill: var(--r1); } circle.r2, .bar.r2 { fill: var(--r2); }
circle.r3, .bar.r3 { fill: var(--r3); } circle.r4, .bar.r4 { fill: var(--r4); } circle.r5, .bar.r5 { fill: var(--r5); }
.dot.r0 { background: var(--r0); } .dot.r1 { background: var(--r1); } .dot.r2 { background: var(--r2); }
.dot.r3 { background: var(--r3); } .dot.r4 { background: var(--r4); } .dot.r5 { background: var(--r5); }
.scroll { overflow-x: auto; margin-top: 16px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 500; color: var(--soft); font-size: 13px; }
th, td { padding: 9px 14px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
tr:last-child td { border-bottom: 0; } th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.wrap { white-space: normal; overflow-wrap: anywhere; } td small { color: var(--faint); font-size: 12.5px; }
svg.interval { width: 150px; height: 16px; vertical-align: middle; margin-right: 10px; }
.interval .track { fill: var(--grid); } .interval .bar { fill: var(--r0); stroke: none; opacity: .85; } .interval .ci { stroke: var(--ink); stroke-width: 1.2; }
.pairs { display: grid; gap: 12px 16px; grid-template-columns: 1fr 1fr; margin-top: 12px; }
.pairs > h3 { margin: 10px 0 0; }
.example { padding: 14px 16px; min-width: 0; }
.example header, .example footer { display: flex; flex-wrap: wrap; gap: 4px 12px; justify-content: space-between; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.prompt { margin: 8px 0 0; color: var(--soft); }
.prompt, .example pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; max-height: 340px; overflow-y: auto; }
.example pre { margin: 10px 0; padding: 10px 12px; border-left: 3px solid var(--rule); background: var(--page); border-radius: 0 6px 6px 0;
  font: 13px/1.55 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.verdict { padding: 1px 9px; border-radius: 99px; font-weight: 550; background: var(--mid-bg); color: var(--mid); white-space: nowrap; }
.verdict.correct { background: var(--good-bg); color: var(--good); } .verdict.wrong, .verdict.hack { background: var(--bad-bg); color: var(--bad); }
details.more { margin-top: 16px; padding: 10px 16px; } summary { cursor: pointer; color: var(--soft); font-size: 14px; }
details .grid { margin: 12px 0 6px; } details pre { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; overflow-x: auto; }
@media (max-width: 700px) { main { padding: 26px 14px 60px; } h1 { font-size: 25px; } .pairs { grid-template-columns: 1fr; } .tiles { grid-template-columns: 1fr 1fr; } }
@media print { .legend { position: static; } .card, .example, tr { break-inside: avoid; } }
)css";

// Reads the value of each curve under the pointer off its path, and shows it where the summary stands.
const std::string_view page_script = R"js(
for (const svg of document.querySelectorAll('svg.chart')) {
  const [left, right, top, bottom, x0, x1, y0, y1] = svg.dataset.frame.split(' ').map(Number);
  const output = svg.closest('.card').querySelector('output'), summary = output.textContent;
  const lines = [...svg.querySelectorAll('path.line')].map(path => ({ run: path.getAttribute('class').match(/r\d/)[0], label: path.dataset.label,
    points: [...path.getAttribute('d').matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)].map(m => [Number(m[1]), Number(m[2])]) }));
  const cross = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  cross.setAttribute('class', 'cross');
  const shown = y => { const v = y0 + (bottom - y) / (bottom - top) * (y1 - y0);
    return svg.dataset.percent === undefined ? String(Number(v.toPrecision(3))) : (100 * v).toFixed(1) + '\u00a0%'; };
  const nearest = (points, x) => points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const wanted = Math.min(right, Math.max(left, (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width));
    const x = nearest(lines.flatMap(line => line.points), wanted)[0];
    cross.setAttribute('d', `M${x} ${top}V${bottom}`);
    svg.append(cross);
    output.classList.add('live');
    output.textContent = 'step ' + Math.round(x0 + (x - left) / (right - left) * (x1 - x0));
    for (const line of lines) {
      const [pointX, pointY] = nearest(line.points, x);
      if (Math.abs(pointX - x) > 12) continue;  // this run has no value near here
      const value = document.createElement('span');
      value.textContent = ' · ' + shown(pointY);
      value.title = line.label;
      value.style.color = `var(--${line.run})`;
      output.append(value);
    }
  });
  svg.addEventListener('pointerleave', () => { cross.remove(); output.classList.remove('live'); output.textContent = summary; });
}
)js";

}  // namespace cohort
