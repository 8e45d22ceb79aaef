// The small parts that the page is made of: elements, and values in words.

// Everything is set as text, never as markup: names and reasons come from outside.
export function make(tag, options, ...children) {
  const node = document.createElement(tag);
  const {data, aria, role, ...properties} = options ?? {};
  Object.assign(node, properties);
  Object.assign(node.dataset, data);
  if (role) node.setAttribute("role", role);
  for (const [name, value] of Object.entries(aria ?? {})) node.setAttribute(`aria-${name}`, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const drawn = new WeakMap();

// Fill a node anew only when what it shows has changed: what somebody has selected or focused in it stays.
export function fill(node, shown, children) {
  const key = JSON.stringify(shown);
  if (drawn.get(node) === key) return;
  drawn.set(node, key);
  node.replaceChildren(...children());
}

// Keep one child for each item, by its key and in the items' order. `update` gets the child and the item.
export function keep(parent, items, keyOf, create, update) {
  const wanted = new Set(items.map(keyOf));
  for (const child of [...parent.children]) if (!wanted.has(child.dataset.key)) child.remove();
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const child = present.get(key) ?? create(item);
    child.dataset.key = key;
    // What is in its place already is not moved: it would lose the focus.
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
}

export const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const fine = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
const finest = new Intl.NumberFormat("en", {maximumFractionDigits: 2});

export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return (size >= 100 ? whole : size >= 10 || Number.isInteger(value) ? fine : finest).format(value);
}

// A value with its unit; "–" when there is none.
export function quantity(value, unit) {
  return value === null || value === undefined ? "–" : `${number(value)}${unit && unit !== "/s" ? " " : ""}${unit}`;
}

export const milliseconds = (seconds) => quantity(seconds === null ? null : Math.round(seconds * 1000), "ms");
export const percent = (value) => quantity(value === null || value === undefined ? null : Math.round(value), "%");

// A moment, in seconds since 1970, on this browser's clock.
export function clock(moment, seconds = true) {
  const options = {hour: "2-digit", minute: "2-digit", hourCycle: "h23"};
  if (seconds) options.second = "2-digit";
  return new Date(moment * 1000).toLocaleTimeString([], options);
}

export function duration(seconds) {
  const rounded = Math.max(0, Math.round(seconds));
  if (rounded < 100) return `${rounded} s`;
  const minutes = Math.floor(rounded / 60);
  return rounded % 60 ? `${minutes} min ${rounded % 60} s` : `${minutes} min`;
}

// What every time on the page is: AWS's waiting times can be shorter here, the clock never is.
export function timeLabel(factor) {
  return factor === 1 ? "real time (LOCAL_SPEED=1)" : `${number(factor)} x real time; LOCAL_SPEED=1 for real time`;
}
