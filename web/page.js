// The page: one event a second from /events, drawn. What is over time is charts.js, what is about clients clients.js.
import { moment, remember } from "./charts.js";
import { drawClients } from "./clients.js";
import { drawAccounts, drawChanges, drawRefused } from "./find.js";
import { drawFleet } from "./fleet.js";
import { $, amount, clock, count, make, milliseconds, plural, say, span } from "./words.js";

const RETRY_MS = 2000;

const sum = (family, keys) => keys.reduce((all, key) => all + (family[key] || 0), 0);

function state(element, kind, text) {
  element.className = `state ${kind}`;
  say(element, text);
}

// ---- parts ----

const UP = { true: "ok", false: "bad", null: "wait" };
const UP_WORDS = { true: "up", false: "down", null: "not tried yet" };

function partsOf(status, stolen) {
  const parts = [];
  for (const b of status.backends) parts.push({ kind: UP[b.up], name: `backend ${b.name}`, is: UP_WORDS[b.up], more: b.domains });
  for (const d of status.directories)
    parts.push({ kind: UP[d.up], name: `recipients ${d.kind}`, is: UP_WORDS[d.up], more: d.path });
  for (const l of status.lists)
    parts.push({ kind: l.counts ? "ok" : "bad", name: `${l.kind} ${l.zone}`, is: l.counts ? l.state : `${l.state}, ignored` });
  const fleet = status.fleet;
  if (fleet)
    parts.push({
      kind: fleet.up ? "ok" : "warn",
      name: `fleet ${fleet.name}`,
      is: fleet.up ? `${plural(fleet.members, "member")}, this one is ${fleet.member}` : "Redis is away, going on alone",
    });
  const full = (100 * status.ledger.entries) / status.ledger.capacity;
  const died = status.worker_restarts;
  parts.push({
    kind: died ? "warn" : "ok",
    name: plural(status.workers, "worker"),
    is: died ? `died and replaced ${plural(died, "time")}` : "none has died",
  });
  parts.push({
    kind: "ok",
    name: "ledger",
    is: `${count(status.ledger.entries)} known`,
    more: `room for ${count(status.ledger.capacity)}, ${full < 1 ? "less than 1" : Math.round(full)} % full`,
  });
  const { on, kept, refusals } = status.allowance;
  if (on)
    parts.push({
      kind: stolen || kept ? "warn" : "ok",
      name: "allowances",
      is: stolen ? `${plural(stolen, "account")} ${stolen === 1 ? "looks" : "look"} stolen` : `${plural(refusals, "refusal")}`,
      more: kept ? "an earlier version of the file is used; the log says why" : "",
    });
  return parts;
}

function drawParts(parts) {
  const said = JSON.stringify(parts);
  if ($("parts").dataset.said === said) return;
  $("parts").dataset.said = said;
  $("parts").replaceChildren(
    ...parts.map(({ kind, name, is, more }) =>
      make("li", {}, make("span", { className: `state ${kind}`, textContent: name }), make("b", { textContent: is }), make("small", { textContent: more || "" })),
    ),
  );
}

function drawSummary(parts, stolen) {
  const down = parts.filter((p) => p.kind === "bad").map((p) => p.name);
  if (down.length) state($("parts-state"), "bad", `Down: ${down.join(", ")}`);
  else if (stolen) state($("parts-state"), "warn", `${plural(stolen, "account")} ${stolen === 1 ? "looks" : "look"} stolen`);
  else if (parts.some((p) => p.kind === "wait")) state($("parts-state"), "wait", "All known parts up");
  else state($("parts-state"), "ok", "All parts up");
}

// ---- numbers ----

function hours(n) {
  if (n < 1) return `${count(n * 60)} min`;
  return `${n < 1000 ? n.toFixed(1) : count(n)} h`;
}

function drawNumbers(status, mail) {
  const held = status.held + status.frozen;
  const { passed, deferred, refused } = status.messages;
  const rate = mail.per_second === null ? "–" : `${amount(mail.per_second)}/s`;
  const quick = mail.p99_ms === null ? "" : `, p99 ${milliseconds(mail.p99_ms)}`;
  say($("headline"), status.observing ? `Observing, nothing waits; good mail ${rate}${quick}` : `${plural(held, "connection")} held; good mail ${rate}${quick}`);
  $("observed").hidden = !status.observing;
  say($("held"), count(held));
  say($("frozen"), status.frozen ? `${count(status.frozen)} of them without a socket` : "each with a socket");
  say($("hours"), hours(status.attacker_hours));
  say($("days"), status.attacker_hours < 48 ? "all clients together" : `${count(status.attacker_hours / 24)} days together`);
  say($("rate"), rate);
  say($("passed"), `${count(passed)} passed, ${count(deferred)} deferred, ${count(refused)} refused`);
  say($("p99"), milliseconds(mail.p99_ms));
  say($("told"), count(sum(status.verdicts, ["good", "bad"])));
  say($("told-of"), `${plural(status.verdicts.good, "recipient")} taken, ${count(status.verdicts.bad)} refused`);
  say($("masked"), count(sum(status.verdicts, ["masked", "shield"])));
  say($("masked-of"), `${count(status.verdicts.masked)} masked, ${count(status.verdicts.shield)} shielded`);
}

let version = null;

function draw(live) {
  const status = live.status;
  const at = status.since_ms / 1000 + status.up_seconds;
  const parts = partsOf(status, live.stolen);
  document.title = `${count(status.held + status.frozen)} held – mired`;
  say($("host"), status.hostname);
  say($("since"), `version ${status.version}, up ${span(status.up_seconds)}`);
  drawNumbers(status, live.mail);
  drawParts(parts);
  drawSummary(parts, live.stolen);
  drawClients(live);
  drawFleet(live.fleet, status.fleet);
  drawChanges(live.changes);
  drawRefused();
  drawAccounts();
  moment(at, status.held + status.frozen, status.frozen, live.mail);
  if (version !== null && version !== status.version) state($("link"), "warn", "upgraded: reload this page");
  else state($("link"), "ok", "live");
  $("link").title = `as of ${clock(at, true)}`;
  version = version || status.version;
}

// ---- the stream ----

// The browser itself comes back after a broken stream, but not after a refusal, as there may be in the middle of a reload.
function listen() {
  const events = new EventSource("/events");
  events.onopen = () => remember().catch(() => {});
  events.onmessage = (event) => draw(JSON.parse(event.data));
  events.onerror = () => {
    state($("link"), "bad", `not reached since ${clock(Date.now() / 1000, true)}`);
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
  };
}

listen();
