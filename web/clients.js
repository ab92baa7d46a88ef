// The worst clients, why each stands where it stands, and what may be done about it by who has the token.
//
// Rows are kept by address and changed in place. While somebody stands in the table, with the keyboard or the pointer,
// no row moves or goes: nobody shall press a button that has just become another's.
import { $, amount, count, make, plural, say, span } from "./words.js";

const rows = new Map(); // by address
let token = ""; // empty: locked
let undo = null;
let look = () => {}; // shows all that is known of a client: find.js

export const isUnlocked = () => token !== "";
export const onLook = (action) => (look = action);

const LASTS = { "1h": "1 hour", "1d": "1 day", "7d": "7 days", "": "for good" };

// ---- standing and reason ----

export function standing(client) {
  if (client.exempt) return "exempt";
  if (client.shielded) return "shielded";
  if (client.paced) return "paced";
  return client.debt > 0 ? "in debt" : "fine";
}

const offences = (n) => `${amount(n)} offence${amount(n) === "1" ? "" : "s"}`;

const REASONS = {
  exempt: () => "never delayed",
  shielded: (c) => `${offences(c.offences)}: no verdicts at all, 450 to every recipient`,
  paced: (c) =>
    `${offences(c.offences)}: verdicts take turns, ` +
    (c.next_verdict_seconds > 0 ? `the next in ${span(c.next_verdict_seconds)}` : "the next may come now"),
  "in debt": (c) => `${offences(c.offences)}: each 5xx is held` + (c.hold_left_seconds > 0 ? `, ${span(c.hold_left_seconds)} to go` : ""),
  fine: (c) => `${offences(c.offences)}, covered by ${plural(c.good, "good recipient")}`,
};

// A network's offences count for its clients, shared out (R10): said where that is what the client stands at.
const inherited = (c) => (c.debt > c.offences + 0.05 ? `, which makes that ${amount(c.debt)}` : "");

export function reason(client) {
  const state = standing(client);
  const said = [REASONS[state](client)];
  if (client.trapped) said.push("wrote to a trap address");
  if (client.suspect) said.push("is on a list of suspects");
  if (client.network && client.network.offences > client.offences + 0.05)
    said.push(`its network ${client.network.address} has ${offences(client.network.offences)}${inherited(client)}`);
  if (client.patience_seconds > 0) said.push(`hung up after ${span(client.patience_seconds)} once`);
  return said.join("; ");
}

// ---- changes ----

function tell(text, bad, back) {
  $("said").className = bad ? "state bad" : "state ok";
  say($("said"), text);
  undo = back;
  $("undo").hidden = !back;
  if (back) say($("undo"), back.text);
}

export async function post(path) {
  try {
    const answer = await fetch(path, { method: "POST", headers: { "X-Mired-Token": token } });
    return { ok: answer.ok, refused: answer.status === 403, text: (await answer.text()).trim() };
  } catch {
    return { ok: false, refused: false, text: "cannot reach mired" };
  }
}

const UNDO = {
  exempt: { text: "end the exemption of", what: "unexempt" },
  release: { text: "the release of", what: "unrelease" },
  penalise: { text: "the penalty of", what: "unpenalise" },
};

async function change(what, address) {
  const lasts = $("lasts").value;
  const query = new URLSearchParams({ address });
  if (what === "exempt" && lasts) query.set("for", lasts);
  const answer = await post(`/${what}?${query}`);
  const back = UNDO[what] ? { text: `Undo: ${UNDO[what].text} ${address}`, what: UNDO[what].what, address } : null;
  tell(answer.ok ? answer.text : `${what} ${address}: ${answer.text}`, !answer.ok, answer.ok ? back : null);
  if (answer.refused) lock();
}

export function press(what, address) {
  return make("button", { type: "button", onclick: () => change(what, address) });
}

// ---- the token ----

function lock() {
  token = "";
  arrange();
}

function arrange() {
  const open = token !== "";
  $("unlock").hidden = open || !$("read-only").hidden;
  $("other").hidden = !open;
  document.body.classList.toggle("unlocked", open);
}

async function unlock(event) {
  event.preventDefault();
  token = $("token").value;
  const answer = await post("/unlock");
  if (!answer.ok) {
    token = "";
    tell(answer.refused ? `Refused: ${answer.text}` : answer.text, true);
    $("token").select();
    return;
  }
  $("token").value = "";
  tell("Unlocked until this page is closed");
  arrange();
  $("address").focus();
}

// ---- rows ----

function makeRow(address) {
  const row = make("tr");
  const cell = (className) => row.appendChild(make("td", { className }));
  const parts = { row, client: cell("client"), standing: cell("standing"), why: cell("why") };
  parts.offences = cell("number");
  parts.good = cell("number");
  const act = cell("act");
  const show = make("a", { href: "#found", textContent: address });
  show.addEventListener("click", (event) => {
    event.preventDefault();
    look(address);
  });
  parts.client.append(show);
  parts.badge = parts.standing.appendChild(make("span"));
  for (const what of ["release", "exempt", "penalise"]) {
    parts[what] = act.appendChild(press(what, address));
    parts[what].setAttribute("aria-label", `${what} ${address}`);
  }
  parts.release.textContent = "Release";
  parts.penalise.textContent = "Penalise";
  return parts;
}

function fill(parts, client) {
  const state = standing(client);
  say(parts.badge, state);
  parts.badge.className = `badge ${state.replace(" ", "-")}`;
  say(parts.why, reason(client));
  say(parts.offences, client.offences.toFixed(1));
  say(parts.good, count(client.good));
  say(parts.exempt, `Exempt ${LASTS[$("lasts").value]}`);
}

function gone(parts) {
  parts.badge.className = "badge gone";
  say(parts.badge, "gone");
  say(parts.why, "no offences left");
  say(parts.offences, "");
  say(parts.good, "");
}

export const isInUse = (table) => table.contains(document.activeElement) || table.matches(":hover");

export function drawClients(live) {
  const table = $("clients");
  const steady = isInUse(table);
  const now = new Set(live.clients.map((c) => c.address));
  for (const [address, parts] of rows) {
    if (now.has(address)) continue;
    if (steady) gone(parts);
    else {
      parts.row.remove();
      rows.delete(address);
    }
  }
  live.clients.forEach((client, i) => {
    if (!rows.has(client.address)) {
      if (steady && rows.size >= live.clients.length) return;
      rows.set(client.address, makeRow(client.address));
    }
    const parts = rows.get(client.address);
    fill(parts, client);
    if (!parts.row.isConnected) table.append(parts.row);
    if (!steady && table.children[i] !== parts.row) table.insertBefore(parts.row, table.children[i]);
  });
  $("steady").hidden = !steady;
  $("worst").hidden = rows.size === 0;
  $("nobody").hidden = rows.size > 0;
  if ($("read-only").hidden === !live.may_change) {
    $("read-only").hidden = live.may_change;
    arrange();
  }
  drawExempt(live.exempt);
}

function until(ms) {
  return ms ? `until ${new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" })}` : "for good";
}

function drawExempt(exempt) {
  const list = $("exempt");
  $("exempted").hidden = exempt.length === 0;
  if (isInUse(list)) return;
  const said = JSON.stringify(exempt);
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  list.replaceChildren(
    ...exempt.map((e) => {
      const end = press("unexempt", e.address);
      end.textContent = "End";
      end.setAttribute("aria-label", `end the exemption of ${e.address}`);
      return make("li", {}, make("code", { textContent: e.address }), ` ${until(e.until_ms)} `, end);
    }),
  );
}

function name() {
  const button = document.querySelector("[data-exempt]");
  say(button, `Exempt ${LASTS[$("lasts").value]}`);
  for (const parts of rows.values()) say(parts.exempt, button.textContent);
}

$("unlock").addEventListener("submit", unlock);
$("other").addEventListener("submit", (event) => {
  event.preventDefault();
  change(event.submitter ? event.submitter.value : "release", $("address").value.trim());
});
$("lock").addEventListener("click", () => {
  lock();
  tell("Locked");
  $("token").focus();
});
$("undo").addEventListener("click", () => change(undo.what, undo.address));
$("lasts").addEventListener("change", name);
name();
