// The page: draws what /events tells, one event a second. Text goes in as text, never as markup: client names are
// what an attacker chose to be called.
"use strict";

const $ = (id) => document.getElementById(id);
const history = [];
const MINUTES = 10;
let before = null;

const count = (n) => Math.round(n).toLocaleString("en");
const sum = (family, keys) => keys.reduce((all, key) => all + (family[key] || 0), 0);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  Object.assign(made, attributes);
  return made;
}

function standing(client) {
  if (client.exempt) return "exempt";
  if (client.shielded) return "shielded";
  if (client.paced) return "paced";
  return client.debt > 0 ? "in debt" : "fine";
}

async function change(what, address) {
  const answer = await fetch(`/${what}?address=${encodeURIComponent(address)}`, {
    method: "POST",
    headers: { "X-Mired-Token": $("token").value },
  });
  $("said").textContent = `${what} ${address}: ${(await answer.text()).trim()}`;
}

function row(client, mayChange) {
  const made = document.createElement("tr");
  const cells = [
    client.address,
    client.offences.toFixed(1),
    count(client.good),
    standing(client),
    client.next_verdict_seconds > 0 ? `in ${Math.ceil(client.next_verdict_seconds)} s` : "",
  ];
  for (const text of cells) made.append(element("td", text));
  const buttons = document.createElement("td");
  if (mayChange && $("token").value)
    for (const what of ["release", "exempt", "penalise"])
      buttons.append(element("button", what, { type: "button", onclick: () => change(what, client.address) }));
  made.append(buttons);
  return made;
}

function drawClients(live) {
  const table = $("clients");
  if (table.contains(document.activeElement)) return; // whoever stands on a button keeps it
  table.replaceChildren(...live.clients.map((client) => row(client, live.may_change)));
  $("unlock").hidden = !live.may_change;
}

function drawChart(held) {
  const now = Date.now();
  history.push([now, held]);
  while (now - history[0][0] > MINUTES * 60000) history.shift();
  const most = Math.max(1, ...history.map(([, n]) => n));
  const points = history.map(([at, n]) => {
    const x = 600 - ((now - at) / (MINUTES * 60000)) * 600;
    return `${x.toFixed(1)} ${(155 - (n / most) * 145).toFixed(1)}`;
  });
  $("line").setAttribute("d", `M${points.join("L")}`);
  $("area").setAttribute("d", `M${points.join("L")}L600 160L${points[0].split(" ")[0]} 160Z`);
  $("most").textContent = `at most ${count(most)}`;
}

function drawParts(status) {
  const parts = [];
  for (const backend of status.backends)
    parts.push([`backend ${backend.name}`, backend.up === null ? "not asked yet" : backend.up ? "up" : "DOWN"]);
  for (const directory of status.directories) parts.push([`recipients ${directory.kind}`, directory.up ? directory.path || "up" : "down"]);
  parts.push(["ledger", `${count(status.ledger.entries)} known, room for ${count(status.ledger.capacity)}`]);
  parts.push(["workers", `${status.workers}, restarted ${status.worker_restarts} times`]);
  $("parts").replaceChildren(
    ...parts.map(([name, text]) => element("li", `${name}: ${text}`, { className: text === "DOWN" ? "down" : "" })),
  );
}

function draw(live) {
  const status = live.status;
  const passed = sum(status.messages, ["passed"]);
  const held = status.held + status.frozen;
  $("host").textContent = status.hostname;
  $("state").textContent = `version ${status.version}, up ${count(status.up_seconds / 60)} min`;
  $("held").textContent = count(held);
  $("frozen").textContent = count(status.frozen);
  $("hours").textContent = status.attacker_hours.toFixed(1);
  if (before) {
    const seconds = status.up_seconds - before.up;
    if (seconds > 0) $("rate").textContent = ((passed - before.passed) / seconds).toFixed(1);
  }
  before = { passed, up: status.up_seconds };
  $("told").textContent = count(sum(status.verdicts, ["good", "bad"]));
  $("masked").textContent = count(sum(status.verdicts, ["masked", "shield"]));
  drawChart(held);
  drawClients(live);
  drawParts(status);
}

const events = new EventSource("/events");
events.onmessage = (event) => draw(JSON.parse(event.data));
events.onerror = () => ($("state").textContent = "mired cannot be reached; trying again");
$("unlock").onsubmit = (event) => event.preventDefault();
