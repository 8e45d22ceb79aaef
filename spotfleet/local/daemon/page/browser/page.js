// The live page: asks the embedded AWS every two seconds what there is, and shows it.

import {onColours} from "./charts.js";
import {Environment} from "./environment.js";
import {clock, duration, keep, make} from "./parts.js";

const PAUSE = 2000;
const PATIENCE = 8000;
// Seconds after which figures that stay the same are called old.
const OLD = 20;

const message = document.getElementById("message");
const main = document.getElementById("main");
const environments = new Map();
// When a new snapshot came, on this browser's clock, and the moment it tells of, on that of the embedded AWS.
let last = {came: null, time: null};
let timer = null;

async function ask() {
  // Behind the # is the key of this start of the embedded AWS: nobody without it sees what is here.
  const headers = {Authorization: `Bearer ${location.hash.slice(1)}`};
  const answer = await fetch("page.json", {cache: "no-store", headers, signal: AbortSignal.timeout(PATIENCE)});
  if (answer.status === 403) {
    throw new Error("it has another key since it was started anew: open the address that `make status` prints");
  }
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  return answer.json();
}

function troubles(now) {
  return (now.controllers ?? [])
    .filter((one) => one.restarts || !["starting", "running"].includes(one.state))
    .map((one) => `Controller ${one.name}: ${one.state}, restarted ${one.restarts} times (${one.last_error}).`);
}

function show(now) {
  document.getElementById("speed").textContent = now.speed ? `${now.speed}; requests and response times are real` : "";
  const create = (one) => {
    environments.set(one.environment, new Environment(one.environment));
    return environments.get(one.environment).node;
  };
  const shown = now.environments;
  const names = new Set(shown.map((one) => one.environment));
  for (const name of [...environments.keys()]) if (!names.has(name)) environments.delete(name);
  document.getElementById("empty")?.remove();
  keep(
    main,
    shown,
    (one) => one.environment,
    create,
    (_node, one) => environments.get(one.environment).show(one, now),
  );
  if (!shown.length) main.append(empty());
}

const empty = () =>
  make("p", {id: "empty"}, "No environment is launched. ", make("code", {textContent: "make up"}), " launches one.");

function tell(now) {
  const seconds = (Date.now() - last.came) / 1000;
  const old =
    seconds > OLD ? [`The figures are ${duration(seconds)} old: the embedded AWS answers, but does not look.`] : [];
  say(
    [...old, ...troubles(now)].join(" ") ||
      (now.time ? `As of ${clock(now.time)}.` : "The embedded AWS is looking for the first time …"),
    old.length ? "lost" : "live",
  );
}

function say(text, state) {
  if (message.textContent !== text) message.textContent = text;
  document.body.dataset.state = state;
}

function lose(error) {
  const known = last.came ? ` What is shown is as of ${clock(last.came / 1000)}.` : "";
  say(`The embedded AWS does not answer (${error.message}). It is asked again every 2 seconds.${known}`, "lost");
}

async function refresh() {
  clearTimeout(timer);
  try {
    const now = await ask();
    if (now.time !== last.time || last.came === null) {
      last = {came: Date.now(), time: now.time};
      show(now);
    }
    tell(now);
  } catch (error) {
    lose(error);
  }
  timer = setTimeout(refresh, PAUSE);
}

onColours(() => environments.forEach((one) => one.recolour()));
// Another key behind the #, as after a new start, does not load the page anew.
addEventListener("hashchange", refresh);
refresh();
