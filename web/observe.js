// What would have waited while `observe` is on (R20): /observed as a person reads it, good mail first. Asked for again
// every half minute while somebody looks.
import { $, amount, colour, count, make, plural, say, span } from "./words.js";

const AGAIN_MS = 30000;
let chart = null;
let shown = ""; // what the tables show, so that a selection is not lost to the same again

const day = (ms) => new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const hours = (seconds) => (seconds < 3600 ? span(seconds) : `${amount(seconds / 3600)} h`);

// ---- good mail ----

function remedy(sender) {
  if (sender.exempt) return make("span", { className: "badge exempt", textContent: "exempt by now" });
  if (sender.rule === "R22" && !sender.put_off) return make("span", { textContent: "once: it is known afterwards" });
  if (sender.dubious) return make("span", { textContent: `${plural(sender.typos, "wrong recipient")}: spare it only if you know it` });
  return make("code", { textContent: sender.setting });
}

function row(s) {
  const number = (text, label) => {
    const cell = make("td", { className: "number", textContent: text });
    cell.dataset.label = label;
    return cell;
  };
  const from = s.clients > 1 ? `${s.address} (${plural(s.clients, "client")})` : s.address;
  return make(
    "tr",
    {},
    make("td", { className: "client", textContent: s.domain || "<>" }),
    make("td", { className: "from", textContent: from }),
    number(count(s.late), "late"),
    number(s.late ? span(s.late_seconds) : "–", "in all"),
    number(s.late ? span(s.worst_seconds) : "–", "at worst"),
    number(count(s.put_off), "deferred"),
    make("td", { className: "why" }, `${s.rule}: ${s.why}. `, remedy(s)),
  );
}

function drawSenders(senders) {
  const late = senders.filter((s) => s.late || s.put_off);
  const honest = senders.filter((s) => s.typos && !s.dubious);
  const typos = honest.reduce((all, s) => all + s.typos, 0);
  const seconds = honest.reduce((all, s) => all + s.typo_seconds, 0);
  $("senders").replaceChildren(...late.map(row));
  $("late").hidden = !late.length;
  $("none-late").hidden = late.length > 0;
  $("typos").hidden = !typos;
  say($("typos"), typos ? `${plural(typos, "typo")} of these senders would have been answered ${span(seconds / typos)} later on average.` : "");
}

// ---- by day ----

function begin() {
  const grid = { drawOnChartArea: false };
  const whole = { beginAtZero: true, ticks: { maxTicksLimit: 5 }, border: { display: false } };
  chart = new Chart($("chart"), {
    data: {
      labels: [],
      datasets: [
        { type: "bar", label: "waited", yAxisID: "y", data: [], maxBarThickness: 48, order: 1 },
        { type: "line", label: "messages late or deferred", yAxisID: "late", data: [], borderDash: [5, 3], borderWidth: 1.5, tension: 0, order: 0 },
      ],
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: { x: { ticks: { maxRotation: 0 } }, y: { ...whole, suggestedMax: 2 }, late: { ...whole, position: "right", grid, suggestedMax: 4 } },
      plugins: { legend: { display: false } },
    },
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

function paint() {
  const [one, two, line, soft] = ["--one", "--two", "--line", "--soft"].map(colour);
  const [bars, late] = chart.data.datasets;
  bars.backgroundColor = one;
  Object.assign(late, { borderColor: two, backgroundColor: two });
  for (const scale of Object.values(chart.options.scales)) {
    scale.grid = { ...scale.grid, color: line };
    scale.ticks.color = soft;
  }
  chart.options.font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
  chart.update(); // with "none", bars would keep the colours that they have
}

function drawDays(days) {
  if (!chart) begin();
  chart.data.labels = days.map((d) => day(d.day_ms));
  const unit = days.some((d) => d.seconds >= 2 * 3600) ? ["hours", 3600] : ["minutes", 60];
  say($("unit"), unit[0]);
  chart.data.datasets[0].label = `${unit[0]} waited`;
  chart.data.datasets[0].data = days.map((d) => d.seconds / unit[1]);
  chart.data.datasets[1].data = days.map((d) => d.late + d.put_off);
  paint();
  const worst = days.reduce((most, d) => (d.seconds > most.seconds ? d : most), days[0]);
  const late = days.filter((d) => d.late + d.put_off).length;
  say(
    $("about"),
    days.length
      ? `${plural(days.length, "day")}; most on ${day(worst.day_ms)}: ${hours(worst.seconds)}; good mail would have been late on ${plural(late, "day")}`
      : "nothing has been observed in that time",
  );
  const cells = (d) => [day(d.day_ms), count(d.messages), count(d.late), count(d.put_off), count(d.typos), count(d.connections), hours(d.seconds), count(d.untold)];
  $("days").replaceChildren(...days.map((d) => make("tr", {}, ...cells(d).map((text) => make("td", { textContent: text })))));
}

// ---- the whole ----

function headline(told) {
  if (!told.observing) return "Not observing: replies wait";
  if (!told.days.length) return "Observing: nothing has been seen yet";
  const late = told.days.reduce((all, d) => all + d.late + d.put_off, 0);
  return late ? `Observing: ${plural(late, "good message")} would have been late` : "Observing: no good mail would have been late";
}

function draw(told) {
  if (shown === JSON.stringify(told.senders) + JSON.stringify(told.days) + told.next) return;
  shown = JSON.stringify(told.senders) + JSON.stringify(told.days) + told.next;
  say($("headline"), headline(told));
  say($("next"), `${told.next[0].toUpperCase()}${told.next.slice(1)}.`);
  $("next").className = `state ${told.ready ? "ok" : told.waiting ? "warn" : "wait"}`;
  drawSenders(told.senders);
  say($("messages"), count(told.messages));
  say($("messages-late"), `${plural(told.waiting, "sender")} would still wait`);
  say($("paid"), hours(told.seconds));
  say($("replies"), `${count(told.replies)} replies held`);
  say($("connections"), count(told.connections));
  say($("untold"), count(told.untold));
  drawDays(told.days);
}

function linkIs(kind, text) {
  $("link").className = `state ${kind}`;
  say($("link"), text);
}

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch(`/observed?since=${$("since").value}`);
    if (!answer.ok) throw new Error(answer.status);
    const told = await answer.json();
    say($("host"), told.hostname);
    draw(told);
    linkIs("ok", "up to date");
  } catch {
    linkIs("bad", "mired cannot be reached");
  }
}

$("since").addEventListener("change", look);
document.addEventListener("visibilitychange", look);
setInterval(look, AGAIN_MS);
look();
