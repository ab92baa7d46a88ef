// Numbers and times as a person says them, and elements. Text goes in as text, never as markup: what a client is called
// is for the client to choose.

export const $ = (id) => document.getElementById(id);

export const count = (n) => Math.round(n).toLocaleString("en");

// Small numbers with a decimal, large ones without.
export const amount = (n) => (n < 9.95 ? n.toFixed(1).replace(/\.0$/, "") : count(n));

export const plural = (n, word) => `${count(n)} ${word}${Math.round(n) === 1 ? "" : "s"}`;

// "40 s", "4 min", "3 h", "2 days".
export function span(seconds) {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return plural(seconds / 86400, "day");
}

export function milliseconds(ms) {
  if (ms === null) return "–";
  return ms < 1000 ? `${amount(ms)} ms` : `${amount(ms / 1000)} s`;
}

export const clock = (seconds, exact) =>
  new Date(seconds * 1000).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: exact ? "2-digit" : undefined,
    hourCycle: "h23",
  });

// One of the page's colours, such as "--one".
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Changes a text only when it is another one: what is being read out or selected stays.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
