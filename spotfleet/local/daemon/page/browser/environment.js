// One environment: its figures, charts, events, machines and tasks, targets and stacks.

import {Chart} from "./charts.js";
import * as events from "./events.js";
import * as figures from "./figures.js";
import * as machines from "./machines.js";
import {duration, fill, keep, make, milliseconds, number, percent, plural, timeLabel} from "./parts.js";

// Shares of the kept time that can be chosen.
const SPANS = [1, 0.5, 0.25];

const sum = (one, name) => one.groups.reduce((total, group) => total + group[name], 0);
const slowest = (one, name) =>
  one.groups.reduce((found, group) => (group[name] === null ? found : Math.max(found ?? 0, group[name])), null);

function figure(name, value) {
  return make("div", {className: "figure", data: {figure: name}}, make("b", {textContent: value}), name);
}

function service(one) {
  const healthy = one.groups.flatMap((group) => group.targets).filter((target) => target.state === "healthy").length;
  const used = one.cpu_percent.findLast((value) => value !== null);
  return make(
    "section",
    {className: "service", data: {service: one.name}},
    make("h3", {textContent: one.name}),
    make(
      "div",
      {className: "figures"},
      figure("tasks running / wanted", `${one.running} / ${one.desired}`),
      figure("healthy targets", number(healthy)),
      figure("requests per second", sum(one, "requests_per_second").toFixed(1)),
      figure("p50", milliseconds(slowest(one, "p50"))),
      figure("p99", milliseconds(slowest(one, "p99"))),
      figure("errors per second", sum(one, "errors_per_second").toFixed(1)),
      figure("CPU / its target", `${percent(used)} / ${percent(one.cpu_target_percent)}`),
      figure("memory", percent(one.memory_percent)),
    ),
  );
}

function table(heads, rows) {
  if (!rows.length) return make("p", {className: "quiet", textContent: "none"});
  const head = make("tr", {}, ...heads.map((text) => make("th", {textContent: text, scope: "col"})));
  return make(
    "table",
    {},
    make("thead", {}, head),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value) => make("td", {}, value))))),
  );
}

const stackLook = (text) => (text.endsWith("_IN_PROGRESS") ? "wait" : /FAILED|ROLLBACK/.test(text) ? "warning" : "");
const stackState = (text) => make("span", {className: stackLook(text), textContent: text});

export class Environment {
  constructor(name) {
    this.name = name;
    this.charts = new Map();
    const part = (tag, className, ...children) => make(tag, {className}, ...children);
    this.head = part("header", "head");
    this.services = part("div", "services");
    this.chosen = make("select", {id: `service-${name}`});
    this.span = make("select", {id: `span-${name}`});
    this.choice = make("label", {htmlFor: this.chosen.id}, "Service ", this.chosen);
    this.controls = part(
      "div",
      "controls",
      this.choice,
      make("label", {htmlFor: this.span.id}, "Shown time ", this.span),
    );
    this.happened = make("div", {
      className: "scroll",
      tabIndex: 0,
      role: "region",
      aria: {label: "What happened, the newest first"},
    });
    this.panel = part("section", "happened", make("h3", {textContent: "What happened"}), this.happened);
    this.panel.dataset.key = "events";
    this.grid = part("div", "charts", this.panel);
    this.signs = events.legend();
    this.count = make("h3", {});
    this.zones = part("div", "zones");
    this.waiting = part("div", "waiting");
    this.targets = make("details", {}, make("summary", {}), make("div", {}));
    this.stacks = make("details", {open: true}, make("summary", {}), make("div", {}));
    this.node = make(
      "section",
      {id: `environment-${name}`, className: "environment"},
      this.head,
      this.services,
      this.controls,
      this.signs,
      this.grid,
      this.count,
      this.zones,
      this.waiting,
      this.targets,
      this.stacks,
    );
    for (const select of [this.chosen, this.span])
      select.addEventListener("change", () => this.show(this.shown, this.now));
  }

  // Show an environment of the snapshot `now`.
  show(environment, now) {
    this.shown = environment;
    this.now = now;
    this.showHead(environment);
    this.services.className = environment.services.length > 1 ? "services several" : "services";
    fill(this.services, environment.services, () => environment.services.map(service));
    this.showChoices(environment, now);
    this.showCharts(environment, now);
    this.signs.hidden = !environment.events.length;
    fill(this.happened, environment.events, () => events.list(environment.events));
    this.showMachines(environment);
    this.showTargets(environment);
    this.showStacks(environment);
  }

  showHead(environment) {
    const {url, phase, problem} = environment;
    fill(this.head, [url, phase, problem], () => [
      make("h2", {textContent: this.name}),
      make("span", {className: "phase", textContent: phase}),
      url
        ? make("a", {href: url, textContent: url, rel: "noreferrer"})
        : make("span", {className: "quiet", textContent: "no load balancer yet"}),
      problem ? make("p", {className: "warning", textContent: `It cannot be read at the moment: ${problem}`}) : "",
    ]);
  }

  showChoices(environment, now) {
    const names = environment.services.map((one) => one.name);
    this.choice.hidden = names.length < 2;
    this.offer(this.chosen, [["", `all ${names.length}, a line each`], ...names.map((name) => [name, name])]);
    this.offer(
      this.span,
      SPANS.map((share) => [String(share), spanText(now.window * share, now.factor)]),
    );
  }

  // Fill a list to choose from, and keep what is chosen.
  offer(select, options) {
    const value = select.value;
    fill(select, options, () => options.map(([key, text]) => make("option", {value: key, textContent: text})));
    select.value = options.some(([key]) => key === value) ? value : options[0][0];
  }

  showCharts(environment, now) {
    const shown = {
      history: environment.history,
      events: environment.events,
      now: environment.history.times.at(-1) ?? now.time,
      span: now.window * Number(this.span.value),
      timeText: timeLabel(now.factor),
    };
    const wanted = figures.charts(environment, this.chosen.value);
    keep(
      this.grid,
      [...wanted, {id: "events"}],
      (chart) => chart.id,
      (chart) => this.create(chart),
      () => {},
    );
    for (const chart of wanted) this.charts.get(chart.id).update(chart, shown);
  }

  create(chart) {
    const made = new Chart(chart, this.name);
    this.charts.set(chart.id, made);
    return made.node;
  }

  recolour() {
    for (const chart of this.charts.values()) chart.draw();
  }

  showMachines(environment) {
    const placed = new Set(environment.machines.map((one) => one.id));
    const waiting = environment.tasks.filter((one) => !placed.has(one.machine));
    const counts = [plural(environment.machines.length, "machine"), plural(environment.tasks.length, "task")];
    this.count.textContent = counts.join(", ");
    machines.show(this.zones, environment);
    fill(this.waiting, waiting, () =>
      waiting.length
        ? [
            make("h4", {textContent: `${plural(waiting.length, "task")} without a machine`}),
            make("ul", {className: "tasks"}, ...waiting.map((one) => machines.task(one, true))),
          ]
        : [],
    );
  }

  showTargets(environment) {
    const groups = environment.services.flatMap((one) => one.groups);
    const targets = groups.flatMap((group) =>
      group.targets.map((target) => [group.name, target.id, String(target.port), target.state]),
    );
    const healthy = targets.filter((row) => row[3] === "healthy").length;
    const [summary, body] = this.targets.children;
    summary.textContent = `${plural(targets.length, "target")} of the load balancer, ${healthy} healthy`;
    fill(body, targets, () => [
      table(
        ["target group", "machine", "port", "health"],
        targets.map(([group, id, port, state]) => [group, id, port, machines.health(state)]),
      ),
    ]);
  }

  showStacks(environment) {
    const stacks = Object.entries(environment.stacks);
    const [summary, body] = this.stacks.children;
    summary.textContent = plural(stacks.length, "stack");
    fill(body, stacks, () => [
      table(
        ["stack", "state"],
        stacks.map(([name, text]) => [name, stackState(text)]),
      ),
    ]);
  }
}

function spanText(seconds, factor) {
  return factor === 1 ? duration(seconds) : `${duration(seconds)} here, ${duration(seconds * factor)} of AWS's time`;
}
