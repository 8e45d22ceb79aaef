// A chart over time: lines with axes and units, the values at the pointer, and marks where something happened.

import {heaviest, sentence, sign} from "./events.js";
import {values} from "./figures.js";
import {clock, duration, fill, make, plural, quantity} from "./parts.js";

const HEIGHT = 170;
// Pixels within which marks are drawn as one, and the pointer is at a mark.
const NEAR = 9;
const SHOWN_EVENTS = 4;
// Seconds between two times on the axis.
const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const DASHES = {target: [5, 4], dashed: [2, 3]};

const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

let pointedAt = null;

export class Chart {
  constructor(chart, group) {
    this.group = group;
    this.plotted = null;
    this.pointed = false;
    this.keyed = false;
    this.title = make("figcaption", {});
    this.plot = make("div", {className: "plot", tabIndex: 0, role: "img"});
    this.legend = make("ul", {className: "legend"});
    this.time = make("p", {className: "axis"});
    this.said = make("output", {className: "unseen", aria: {live: "polite"}});
    this.node = make("figure", {data: {chart: chart.id}}, this.title, this.plot, this.time, this.legend, this.said);
    this.tip = make("div", {className: "tip", hidden: true});
    this.marks = make("div", {className: "marks", aria: {hidden: "true"}});
    this.watch();
  }

  watch() {
    new ResizeObserver(() => this.fit()).observe(this.plot);
    this.plot.addEventListener("mouseenter", () => this.point(true));
    this.plot.addEventListener("mouseleave", () => this.point(document.activeElement === this.plot && this.keyed));
    this.plot.addEventListener("blur", () => this.leave());
    this.plot.addEventListener("keydown", (event) => this.move(event));
    // A finger that is drawn over the chart moves the pointer; up and down it scrolls the page.
    this.plot.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || !this.plotted) return;
      this.point(true);
      this.plotted.setCursor({left: event.clientX - this.plotted.over.getBoundingClientRect().left, top: 1});
    });
  }

  // Show `history` and `events` up to the moment `now`, for so many seconds before it.
  update(chart, {history, events, now, span, timeText}) {
    this.chart = chart;
    this.events = events;
    this.range = [now - span, now];
    this.data = [history.times, ...chart.lines.map((line) => values(history, line, chart))];
    fill(this.title, [chart.title, chart.unit, chart.note], () => [
      make("b", {textContent: chart.title}),
      make("span", {
        className: "quiet",
        textContent: [chart.unit, chart.note]
          .filter(Boolean)
          .map((text) => ` ${text}`)
          .join(","),
      }),
    ]);
    this.time.textContent = `Time of day; AWS: ${timeText}`;
    const look = JSON.stringify(chart.lines);
    if (look !== this.look || !this.plotted) {
      this.look = look;
      this.draw();
    } else {
      this.plotted.setData(this.data);
    }
    this.tell();
  }

  // Make the drawing anew, as for another set of lines or other colours.
  draw() {
    if (!this.chart) return;
    this.plotted?.destroy();
    this.plotted = new uPlot(this.options(), this.data, this.plot);
    this.plotted.over.append(this.marks, this.tip);
    this.mark();
  }

  options() {
    const axis = {
      stroke: styled("--text"),
      grid: {stroke: styled("--grid"), width: 1},
      ticks: {stroke: styled("--grid")},
      font: "11px system-ui, sans-serif",
    };
    const counts = this.chart.unit === "" ? {incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]} : {};
    return {
      width: Math.max(this.plot.clientWidth, 50),
      height: HEIGHT,
      padding: [12, 8, 0, 0],
      legend: {show: false},
      cursor: {drag: {x: false, y: false}, sync: {key: this.group}, y: false},
      scales: {
        x: {time: true, range: () => this.range},
        y: {range: (_plot, _low, high) => [0, top(high, this.chart.unit)]},
      },
      axes: [
        {
          ...axis,
          size: 28,
          space: 64,
          incrs: STEPS,
          values: (_plot, splits, _axis, _space, step) => splits.map((at) => clock(at, step < 60)),
        },
        {
          ...axis,
          ...counts,
          size: 62,
          values: (_plot, splits) => splits.map((value) => quantity(value, this.chart.unit)),
        },
      ],
      series: [{}, ...this.chart.lines.map((line) => this.series(line))],
      hooks: {draw: [() => this.mark()], setCursor: [() => this.show()]},
    };
  }

  series(line) {
    return {
      label: line.label,
      stroke: styled(`--line-${line.look}`),
      width: 2,
      dash: line.dashed ? DASHES.dashed : DASHES[line.look],
      ...(this.chart.stepped ? {paths: uPlot.paths.stepped({align: 1})} : {}),
    };
  }

  fit() {
    if (this.plotted && this.plot.clientWidth) this.plotted.setSize({width: this.plot.clientWidth, height: HEIGHT});
  }

  // --- Marks

  // Events that are too near for two marks, together.
  bundles() {
    const found = [];
    for (const event of this.events) {
      if (event.time < this.range[0] || event.time > this.range[1]) continue;
      const left = Math.round(this.plotted.valToPos(event.time, "x"));
      const last = found.at(-1);
      if (last && left - last.left < NEAR) last.events.push(event);
      else found.push({left, events: [event]});
    }
    return found;
  }

  mark() {
    if (!this.plotted) return;
    this.bundled = this.bundles();
    fill(
      this.marks,
      this.bundled.map(({left, events}) => [left, events.map((event) => event.kind)]),
      () =>
        this.bundled.map(({left, events}) => {
          const kind = heaviest(events);
          const mark = make("div", {className: `mark ${kind}`, data: {events: events.length}}, sign(kind));
          mark.style.left = `${left}px`;
          return mark;
        }),
    );
  }

  // --- Values

  // The place in the history at the pointer, or null when the pointer is elsewhere.
  get index() {
    const cursor = this.plotted?.cursor;
    return cursor && cursor.left >= 0 && cursor.idx !== null && cursor.idx !== undefined ? cursor.idx : null;
  }

  value(number) {
    const list = this.data[number + 1];
    return this.index === null ? list.at(-1) : list[this.index];
  }

  words() {
    return this.chart.lines
      .map((line, number) => `${line.label} ${quantity(this.value(number), this.chart.unit)}`)
      .join(", ");
  }

  // Say the values in the legend and to those who hear the page.
  tell() {
    const shown = this.chart.lines.map((line, number) => [line, quantity(this.value(number), this.chart.unit)]);
    fill(this.legend, shown, () =>
      shown.map(([line, text]) =>
        make(
          "li",
          {},
          swatch(line),
          make("span", {className: "name", textContent: line.label}),
          make("b", {className: "value", textContent: text}),
        ),
      ),
    );
    const marked = this.events.filter((event) => event.time >= this.range[0]).length;
    this.plot.setAttribute(
      "aria-label",
      `${this.chart.title}, now: ${this.chart.lines
        .map((line, number) => `${line.label} ${quantity(this.data[number + 1].at(-1), this.chart.unit)}`)
        .join(", ")}. ${plural(marked, "event")} in the shown time. ` +
        "The left and right arrow keys move through time.",
    );
  }

  // Only one chart has the pointer: a finger leaves the one before without a word.
  point(pointed) {
    if (pointed && pointedAt !== this) {
      pointedAt?.point(false);
      pointedAt = this;
    }
    this.pointed = pointed;
    if (!pointed) this.tip.hidden = true;
  }

  leave() {
    this.keyed = false;
    this.point(false);
    this.plotted?.setCursor({left: -10, top: -10});
  }

  show() {
    if (!this.chart || !this.plotted) return;
    this.tell();
    const {left} = this.plotted.cursor;
    this.tip.hidden = !this.pointed || this.index === null;
    if (this.tip.hidden) return;
    const moment = this.data[0][this.index];
    const near = (this.bundled ?? []).filter((one) => Math.abs(one.left - left) < NEAR).flatMap((one) => one.events);
    const rows = this.chart.lines.map((line, number) =>
      make(
        "li",
        {},
        swatch(line),
        make("span", {className: "name", textContent: line.label}),
        make("b", {textContent: quantity(this.value(number), this.chart.unit)}),
      ),
    );
    const happened = near.slice(0, SHOWN_EVENTS).map((event) => make("p", {}, sign(event.kind), ` ${sentence(event)}`));
    if (near.length > SHOWN_EVENTS) happened.push(make("p", {textContent: `and ${near.length - SHOWN_EVENTS} more`}));
    this.tip.replaceChildren(
      make("p", {className: "when", textContent: `${clock(moment)}, ${duration(this.range[1] - moment)} ago`}),
      make("ul", {}, ...rows),
      ...happened,
    );
    this.place(left);
  }

  // Put the values beside the pointer; where there is no room on either side, below the drawing.
  place(left) {
    const width = this.plotted.over.clientWidth;
    const own = this.tip.offsetWidth;
    const side = left + 12 + own <= width ? left + 12 : left - 12 - own;
    this.tip.style.left = `${side >= 0 ? side : Math.max(0, Math.min(left - own / 2, width - own))}px`;
    this.tip.style.top = side >= 0 ? "2px" : "100%";
  }

  // --- Keys

  move(event) {
    const last = this.data[0].length - 1;
    const from = this.index ?? last;
    const wide = event.shiftKey ? 10 : 1;
    const to = {ArrowLeft: from - wide, ArrowRight: from + wide, Home: 0, End: last}[event.key];
    if (event.key === "Escape") this.leave();
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.keyed = true;
    this.point(true);
    const moment = this.data[0][Math.min(Math.max(to, 0), last)];
    this.plotted.setCursor({left: this.plotted.valToPos(Math.max(moment, this.range[0]), "x"), top: 1});
    this.said.textContent = `${clock(moment)}: ${this.words()}`;
  }
}

// The end of the axis: some room above the highest value, and a scale where nothing happens.
function top(high, unit) {
  const least = {"/s": 1, ms: 10, "%": 100, "": 2}[unit];
  return Math.max((high ?? 0) * 1.1, least);
}

const swatch = (line) =>
  make("span", {className: `swatch look-${line.look}${line.dashed ? " dashed" : ""}`, aria: {hidden: "true"}});

// Colours are those of the drawing's time: they follow when the browser goes from light to dark.
export const onColours = (act) => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
