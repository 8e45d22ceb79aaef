// What happened: the marks' signs, and the list of it.

import {clock, make} from "./parts.js";

// In the order of their weight: of several in one place the first one's sign is shown. Signs differ without colour too.
export const KINDS = {
  failed: {sign: "✕", name: "deployment failed"},
  notice: {sign: "!", name: "Spot notice"},
  gone: {sign: "−", name: "machine gone"},
  draining: {sign: "◑", name: "machine drains"},
  came: {sign: "+", name: "machine comes"},
  scaling: {sign: "↕", name: "scaling"},
  deployment: {sign: "▲", name: "deployment begins"},
  deployed: {sign: "✓", name: "deployment complete"},
};
const ORDER = Object.keys(KINDS);

export const heaviest = (events) => ORDER.find((kind) => events.some((event) => event.kind === kind)) ?? "deployed";

export const sign = (kind) =>
  make("span", {className: `sign ${kind}`, textContent: KINDS[kind]?.sign ?? "•", aria: {hidden: "true"}});

export const sentence = (event) => `${clock(event.time)} ${event.what}${event.why ? ` – ${event.why}` : ""}`;

function line(event) {
  return make(
    "li",
    {},
    sign(event.kind),
    make("time", {textContent: clock(event.time)}),
    " ",
    event.what,
    event.why ? make("span", {className: "why", textContent: ` – ${event.why}`}) : null,
  );
}

// The newest first.
export const list = (events) =>
  events.length
    ? [make("ol", {className: "events"}, ...events.toReversed().map(line))]
    : [make("p", {className: "quiet", textContent: "Nothing in the shown time."})];

export const legend = () =>
  make(
    "ul",
    {className: "legend signs", aria: {label: "Signs in the charts"}},
    ...ORDER.map((kind) => make("li", {}, sign(kind), ` ${KINDS[kind].name}`)),
  );
