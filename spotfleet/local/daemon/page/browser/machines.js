// The machines by zone: what kind each is, what room it has left, and the tasks on it.

import {clock, fill, keep, make, number, plural} from "./parts.js";

// Of more tasks than these the lists are folded up at first.
const UNFOLDED = 40;
// What each state of health looks like without colour.
const SIGNS = {healthy: "●", initial: "◌", draining: "◑", unhealthy: "✕"};

export const health = (state) => make("span", {className: `health ${state}`}, `${SIGNS[state] ?? "○"} `, state);

export function task(one, several) {
  return make(
    "li",
    {},
    health(one.health),
    " ",
    make("code", {textContent: one.id.slice(0, 8), title: one.id}),
    ` ${one.state === "RUNNING" ? "" : `${one.state} `}${one.address ?? ""}`,
    several && one.service ? make("span", {className: "quiet", textContent: ` ${one.service}`}) : null,
  );
}

// What a machine is to the eye: a machine that drains is that first, whatever it was bought as.
function looks(machine) {
  const bought = machine.kind === "spot" ? "Spot" : machine.kind;
  const leaves = machine.draining || machine.state.startsWith("Terminating");
  return leaves ? {kind: "draining", text: `${bought}, draining`} : {kind: machine.kind, text: bought};
}

function room(name, free, all, unit) {
  const bar = make("div", {className: "bar", aria: {hidden: "true"}}, make("div", {}));
  bar.firstChild.style.width = `${all ? (100 * (all - free)) / all : 0}%`;
  return make(
    "div",
    {className: "room"},
    make("span", {textContent: name}),
    bar,
    make("span", {textContent: `${number(free)} of ${number(all)} ${unit} free`}),
  );
}

function description(machine) {
  const {kind, text} = looks(machine);
  return [
    make(
      "p",
      {className: "title"},
      make("span", {className: `badge ${kind}`, textContent: text}),
      " ",
      make("span", {className: "quiet", textContent: `${machine.type} · ${machine.state}`}),
    ),
    make("p", {}, make("code", {textContent: machine.id})),
    machine.notice
      ? make("p", {className: "warning", textContent: `! Spot notice: EC2 takes it at ${clock(machine.notice)}`})
      : "",
    ...(machine.cpu_units === null
      ? [make("p", {className: "quiet", textContent: "has not joined the cluster yet"})]
      : [
          room("CPU", machine.free_cpu_units, machine.cpu_units, "units"),
          room("Memory", machine.free_memory_mib, machine.memory_mib, "MiB"),
        ]),
  ];
}

function createMachine(unfolded) {
  const tasks = make("details", {open: unfolded}, make("summary", {}), make("ul", {className: "tasks"}));
  return make("article", {}, make("div", {}), tasks);
}

function counted(tasks) {
  const states = [...new Set(tasks.map((one) => one.health))].sort();
  const counts = states.map((state) => `${tasks.filter((one) => one.health === state).length} ${state}`);
  return `${plural(tasks.length, "task")}${tasks.length ? `: ${counts.join(", ")}` : ""}`;
}

function updateMachine(node, machine, tasks, several) {
  const [head, details] = node.children;
  node.className = `machine ${looks(machine).kind}`;
  fill(head, machine, () => description(machine));
  details.hidden = !tasks.length;
  details.firstElementChild.textContent = counted(tasks);
  fill(details.lastElementChild, [tasks, several], () => tasks.map((one) => task(one, several)));
}

const sum = (machines, name) => machines.reduce((total, one) => total + (one[name] ?? 0), 0);

function zoneLine(name, machines) {
  const [cpu, memory] = ["free_cpu_units", "free_memory_mib"].map((free) => number(sum(machines, free)));
  return [
    make("h4", {textContent: name}),
    make("span", {
      className: "quiet",
      textContent: `${plural(machines.length, "machine")}, ${cpu} CPU units and ${memory} MiB free`,
    }),
  ];
}

// Show an environment's machines in `node`, zone by zone.
export function show(node, environment) {
  const {machines, tasks} = environment;
  const several = environment.services.length > 1;
  const zones = [...new Set(machines.map((one) => one.zone))].sort();
  const create = () => make("section", {className: "zone"}, make("header", {}), make("div", {className: "machines"}));
  keep(
    node,
    zones,
    (zone) => zone,
    create,
    (section, zone) => {
      const here = machines
        .filter((one) => one.zone === zone)
        .sort((a, b) => a.kind.localeCompare(b.kind) || a.id.localeCompare(b.id));
      fill(section.firstElementChild, [zone, here], () => zoneLine(zone, here));
      keep(
        section.lastElementChild,
        here,
        (one) => one.id,
        () => createMachine(tasks.length <= UNFOLDED),
        (card, one) =>
          updateMachine(
            card,
            one,
            tasks.filter((item) => item.machine === one.id),
            several,
          ),
      );
    },
  );
}
