// What is looked up: any client with how many of its connections are held, changes that can be taken back, and, for who
// has the token, the recipients that were refused most.
import { isInUse, isUnlocked, onLook, post, press, reason, standing } from "./clients.js";
import { $, clock, count, make, plural, say } from "./words.js";

const REFUSED_MS = 10000;
const CHANGES_SHOWN = 10;

// ---- a client ----

function heldWords(known) {
  const all = known.held + known.frozen;
  const frozen = known.frozen ? `, ${count(known.frozen)} of them without a socket` : "";
  const missing = known.unanswered ? ` (${plural(known.unanswered, "process")} did not answer)` : "";
  const lists = known.listed && known.listed.length ? `; listed by ${known.listed.join(", ")}` : "";
  if (known.held === undefined) return "No process could say what is held of it";
  return `${plural(all, "connection")} held now${frozen}${missing}${lists}`;
}

function isKnown(known) {
  return known.seen_ms > 0 || known.held + known.frozen > 0 || known.exempt;
}

function show(known) {
  const state = standing({ debt: 0, ...known });
  say($("found-address"), known.address);
  $("found-badge").className = `badge ${state.replace(" ", "-")}`;
  say($("found-badge"), isKnown(known) ? state : "");
  say($("found-why"), isKnown(known) ? reason({ debt: 0, ...known }) : "no entry in the ledger");
  say($("found-held"), heldWords(known));
  $("found").hidden = false;
}

function fail(address, text) {
  say($("found-address"), address);
  say($("found-badge"), "");
  say($("found-why"), text);
  say($("found-held"), "");
  $("found").hidden = false;
}

async function look(address) {
  $("who").value = address;
  try {
    const answer = await fetch(`/client?${new URLSearchParams({ address })}`);
    if (answer.ok) show(await answer.json());
    else fail(address, await answer.text());
  } catch {
    fail(address, "cannot reach mired");
  }
}

// ---- changes ----

const CHANGES = { release: ["release of", "unrelease"], penalise: ["penalty of", "unpenalise"] };

export function drawChanges(changes) {
  const list = $("changes");
  $("changed").hidden = changes.length === 0;
  if (isInUse(list)) return;
  const said = JSON.stringify(changes);
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  list.replaceChildren(
    ...changes.slice(0, CHANGES_SHOWN).map(({ what, address, at_ms }) => {
      const [words, undo] = CHANGES[what];
      const back = press(undo, address);
      back.textContent = "Undo";
      back.setAttribute("aria-label", `undo the ${words} ${address}`);
      return make("li", {}, `${clock(at_ms / 1000, true)} ${words} `, make("code", { textContent: address }), " ", back);
    }),
  );
}

// ---- refused recipients, accounts beyond their allowance ----

// A table of what the log names most, for who has the token. `box` is hidden while it is empty.
function table(what, box, body) {
  let asked = 0;
  return async () => {
    if (!isUnlocked()) {
      $(box).hidden = true;
      asked = 0;
      return;
    }
    if (Date.now() - asked < REFUSED_MS) return;
    asked = Date.now();
    const answer = await post(`/${what}`);
    if (!answer.ok) return;
    const rows = JSON.parse(answer.text);
    $(box).hidden = rows.length === 0;
    $(body).replaceChildren(
      ...rows.map(({ times, address, why }) =>
        make(
          "tr",
          {},
          make("td", { className: "number", textContent: count(times) }),
          make("td", {}, make("code", { textContent: address })),
          make("td", { textContent: why }),
        ),
      ),
    );
  };
}

export const drawRefused = table("refused", "refusing", "refused");
export const drawAccounts = table("accounts", "beyond", "accounts");

onLook(look);
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  look($("who").value.trim());
});
