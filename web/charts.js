// The two charts, by Chart.js: an hour at most, from the web process' own memory, and a point for now that moves on
// with every event. Nothing is animated. Beside each canvas stands what it shows in words, and a table.
import { $, amount, clock, colour, count, make, milliseconds, say } from "./words.js";

const HOUR = 3600;
const LEAST = 60; // seconds that the time axis shows at least
const ROWS = 12; // of the table

let every = 5;
let samples = []; // [time, held in all, frozen, messages a second or null, p99 in ms or null]
let now = null; // the same for this moment
const charts = {};

function line(label, axis, dash, fill) {
  return {
    label,
    yAxisID: axis,
    data: [],
    borderWidth: dash ? 1.5 : 2,
    borderDash: dash ? [5, 3] : [],
    fill: fill ? "origin" : false,
    pointRadius: 0,
    pointHitRadius: 12,
    stepped: false,
    tension: 0,
  };
}

// Round times of day, five or so.
function timeTicks(axis) {
  const length = axis.max - axis.min;
  const step = [10, 15, 30, 60, 120, 300, 600, 900].find((s) => length / s <= (axis.width < 400 ? 4 : 7)) || 900;
  axis.ticks = [];
  for (let t = Math.ceil(axis.min / step) * step; t <= axis.max; t += step)
    axis.ticks.push({ value: t, label: clock(t, step < 60) });
}

function chart(id, datasets, scales) {
  const whole = { beginAtZero: true, ticks: { maxTicksLimit: 5, precision: 0 }, border: { display: false } };
  return new Chart($(id), {
    type: "line",
    data: { datasets },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      spanGaps: false,
      interaction: { mode: "nearest", axis: "x", intersect: false }, // by time: the lines need not have the same points
      scales: {
        x: { type: "linear", afterBuildTicks: timeTicks, ticks: { maxRotation: 0, callback: (v, i, all) => all[i].label } },
        ...Object.fromEntries(Object.entries(scales).map(([name, scale]) => [name, { ...whole, ...scale }])),
      },
      plugins: { legend: { display: false }, tooltip: { callbacks: { title: (items) => clock(items[0].parsed.x, true) } } },
    },
  });
}

function paint() {
  const [one, two, line, soft] = ["--one", "--two", "--line", "--soft"].map(colour);
  for (const made of Object.values(charts)) {
    const [first, second] = made.data.datasets;
    Object.assign(first, { borderColor: one, backgroundColor: `color-mix(in srgb, ${one} 14%, transparent)` });
    Object.assign(second, { borderColor: two, backgroundColor: two });
    for (const scale of Object.values(made.options.scales)) {
      scale.grid = { ...scale.grid, color: line };
      scale.ticks.color = soft;
    }
    made.options.font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
    made.update("none");
  }
}

function begin() {
  charts.held = chart("chart-held", [line("held", "y", false, true), line("without a socket", "y", true)], {
    y: { suggestedMax: 4 },
  });
  charts.mail = chart("chart-mail", [line("messages/s", "y", false, true), line("p99, ms", "ms", true)], {
    y: { suggestedMax: 1 },
    ms: { position: "right", suggestedMax: 10, grid: { drawOnChartArea: false } },
  });
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

const known = (column) => all().filter((s) => s[column] !== null).map((s) => s[column]);
const all = () => (now ? [...samples, now] : samples);

// A gap where nobody served, so that no line is drawn across it. Where nothing is known while it served (no mail has come,
// so there is no p99) the line goes on to the next value: cut there, it would be dots.
function points(column) {
  const made = [];
  let before = null;
  for (const s of all()) {
    if (s[column] === null && before !== null && s[0] - before <= 2.5 * every) {
      before = s[0];
      continue;
    }
    if (before !== null && s[0] - before > 2.5 * every) made.push({ x: before + every, y: null });
    made.push({ x: s[0], y: s[column] });
    before = s[0];
  }
  return made;
}

function words() {
  const minutes = Math.max(1, Math.round((now[0] - all()[0][0]) / 60));
  const held = known(1), rates = known(3), p99s = known(4); // prettier-ignore
  const over = minutes === 1 ? "the last minute" : `the last ${minutes} minutes`;
  say($("about-held"), `${count(now[1])} now; over ${over} at least ${count(Math.min(...held))}, at most ${count(Math.max(...held))}`);
  const most = p99s.length ? `, the p99 at most ${milliseconds(Math.max(...p99s))}` : "";
  say($("about-mail"), rates.length ? `over ${over} at most ${amount(Math.max(...rates))} messages a second${most}` : "not known yet");
  $("chart-held").setAttribute("aria-label", `Held connections over time: ${$("about-held").textContent}`);
  $("chart-mail").setAttribute("aria-label", `Good mail over time: ${$("about-mail").textContent}`);
}

function table() {
  if (!$("past").open) return;
  const shown = all().reverse();
  const step = Math.max(1, Math.ceil(shown.length / ROWS));
  const rows = shown.filter((_, i) => i % step === 0).map(([t, held, frozen, rate, p99]) => {
    const cells = [clock(t, true), count(held), count(frozen), rate === null ? "–" : amount(rate), milliseconds(p99)];
    return make("tr", {}, ...cells.map((text) => make("td", { textContent: text })));
  }); // prettier-ignore
  $("past-rows").replaceChildren(...rows);
}

function draw() {
  if (!now || document.hidden) return;
  if (!charts.held) begin();
  const from = Math.max(now[0] - HOUR, Math.min(all()[0][0], now[0] - LEAST));
  const show = (made, columns) => {
    columns.forEach((column, i) => (made.data.datasets[i].data = points(column)));
    Object.assign(made.options.scales.x, { min: from, max: now[0] });
    made.update("none");
  };
  show(charts.held, [1, 2]);
  show(charts.mail, [3, 4]);
  words();
  table();
}

// What has been: what the web process remembers takes the place of what this page saw.
export async function remember() {
  const answer = await fetch("/history");
  if (!answer.ok) return;
  const past = await answer.json();
  every = past.every_ms / 1000;
  samples = past.samples.map(([t, held, frozen, rate, p99]) => [t, held + frozen, frozen, rate, p99]);
  draw();
}

export function moment(t, held, frozen, mail) {
  now = [t, held, frozen, mail.per_second, mail.p99_ms];
  const last = samples.length ? samples[samples.length - 1][0] : 0;
  if (t - last >= every) samples.push([Math.floor(t / every) * every, ...now.slice(1)]);
  while (samples.length && samples[0][0] < t - HOUR) samples.shift();
  draw();
}

document.addEventListener("visibilitychange", draw);
$("past").addEventListener("toggle", draw);
