// Which charts there are, and which lines each has: from what an environment is and which service was chosen.

// Looks that lines can be told apart by; further ones are dotted.
const LOOKS = 8;

// Figures of services: of one service all of them, of several the first one of each.
const CHARTS = [
  {id: "requests", title: "Requests", unit: "/s", of: [["rate", "requests"]]},
  {
    id: "latency",
    title: "Response time",
    several: "Response time, p99",
    unit: "ms",
    factor: 1000,
    of: [
      ["p99", "p99"],
      ["p50", "p50"],
    ],
  },
  {id: "errors", title: "Errors", note: "5xx and failed connections", unit: "/s", of: [["errors", "errors"]]},
  {
    id: "use",
    title: "CPU and memory",
    several: "CPU",
    note: "of what is reserved",
    unit: "%",
    stepped: true,
    of: [
      ["cpu", "CPU"],
      ["memory", "memory"],
      ["cpu_target", "CPU target", "target"],
    ],
  },
  {
    id: "tasks",
    title: "Tasks",
    several: "Running tasks",
    unit: "",
    stepped: true,
    of: [
      ["running", "running"],
      ["desired", "wanted", "target"],
    ],
  },
  {
    id: "machines",
    title: "Machines",
    unit: "",
    stepped: true,
    lines: [
      ["machines/on-demand", "on-demand", "on-demand"],
      ["machines/spot", "Spot", "spot"],
      ["machines/draining", "draining", "draining"],
    ],
  },
  {
    id: "reservation",
    title: "Capacity reservation",
    note: "machines needed of all",
    unit: "%",
    stepped: true,
    lines: [
      ["machines/reservation", "reservation", "1"],
      ["machines/reservation_target", "target", "target"],
    ],
  },
];

function linesOf(chart, services) {
  if (chart.lines) return chart.lines.map(([key, label, look]) => ({key, label, look}));
  if (services.length === 1) {
    return chart.of.map(([figure, label, look], index) => ({
      key: `services/${services[0]}/${figure}`,
      label,
      look: look ?? String(index + 1),
    }));
  }
  const [figure] = chart.of[0];
  return services.map((name, index) => ({
    key: `services/${name}/${figure}`,
    label: name,
    look: String((index % LOOKS) + 1),
    dashed: index >= LOOKS,
  }));
}

// Charts with their lines; each line has the label, the look, and the key of its figures in the history.
export function charts(environment, chosen) {
  const services = environment.services.map((one) => one.name).filter((name) => !chosen || name === chosen);
  return CHARTS.filter((chart) => chart.lines || services.length).map((chart) => {
    const title = services.length > 1 ? (chart.several ?? chart.title) : chart.title;
    return {...chart, title, lines: linesOf(chart, services)};
  });
}

// The values of a line at the history's times, in the chart's unit.
export function values(history, line, chart) {
  const found = history.series[line.key] ?? history.times.map(() => null);
  return chart.factor ? found.map((value) => (value === null ? null : value * chart.factor)) : found;
}
