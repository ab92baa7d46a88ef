// The fleet as one: what all members hold and take together, and a row for each. Other members chose these names and
// figures, so they go in as text.
import { $, amount, count, make, plural, say, span } from "./words.js";

const milli = (seconds) => `${count(1000 * seconds)} ms`;

function standing(m) {
  if (m.self) return "this one";
  if (m.present) return "up";
  return m.heard ? `not heard of for ${span(m.heard_seconds_ago)}` : "never heard of";
}

function row(m) {
  const number = (text) => make("td", { className: "number", textContent: m.present ? text : "–" });
  return make(
    "tr",
    { className: m.present ? "" : "stale" },
    make("td", { className: "member", textContent: m.name }),
    make("td", {}, make("span", { className: `state ${m.present ? "ok" : "bad"}`, textContent: standing(m) })),
    number(count(m.held)),
    number(count(m.frozen)),
    number(`${amount(m.messages_per_second)}/s`),
    number(m.self ? "–" : milli(m.lag_seconds)),
    number(milli(m.skew_seconds)),
    make("td", { textContent: m.program || "–" }),
  );
}

// `fleet` is null until the fleet process has answered; `configured` without a fleet, too.
export function drawFleet(fleet, configured) {
  $("fleet").hidden = !configured;
  if (!configured) return;
  $("members-table").hidden = !fleet;
  if (!fleet) {
    say($("fleet-sums"), "The fleet process has not answered yet.");
    return;
  }
  const away = fleet.members.filter((m) => !m.present).length;
  const stale = away ? ` ${plural(away, "member")} not heard of ${away === 1 ? "counts" : "count"} in no sum.` : "";
  const sums = `${plural(fleet.held + fleet.frozen, "connection")} held by all members, ${count(fleet.frozen)} of them without a socket; good mail ${amount(fleet.messages_per_second)}/s.`;
  say($("fleet-sums"), fleet.up ? sums + stale : `Redis is away: ${fleet.why}. This member goes on alone. ${sums}${stale}`);
  const said = JSON.stringify(fleet.members);
  if ($("members").dataset.said === said) return;
  $("members").dataset.said = said;
  $("members").replaceChildren(...fleet.members.map(row));
  say($("members-more"), fleet.left_out ? `and ${count(fleet.left_out)} more` : "");
}
