// One's own lifts, newest first. The API is the truth: nothing about them is kept here.

import { json, objectUrl } from "./api.js";
import { $, make, show, write } from "./dom.js";
import { moment, percent, STATES, stageWords } from "./words.js";

const PAGE = 30;
const LIVELY_MS = 2000;
const QUIET_MS = 20000;

export const over = (lift) => !["queued", "running"].includes(lift.status);

export const plainName = (file) => file.name.split("/").pop();

export const fileOf = (lift, name, thing) => lift.files.find((file) => plainName(file) === name && file.thing === thing);

export function titleOf(lift) { return lift.caption || lift.prompt || lift.name; }

// What a lift looks like in the list: its sheet's first view, or the picture that it is made from.
export async function showThumbnail(image, lift) {
  const sheet = lift.status === "succeeded";
  const path = `/v1/lifts/${lift.id}/${sheet ? `files/${lift.things > 1 ? "1/" : ""}preview.png` : "picture"}`;
  if (image.dataset.path === path) return;
  image.dataset.path = path;
  image.parentElement.classList.toggle("cell", sheet);
  try {
    const address = await objectUrl(path);
    if (image.dataset.path === path) image.src = address;
  } catch {
    delete image.dataset.path;
  }
}

export class Lifts {
  // ``onNews`` is told of every lift as it stands; ``onTrouble`` of an error, or null once there is none.
  constructor({ onNews, onTrouble }) {
    Object.assign(this, { onNews, onTrouble });
    this.lifts = new Map();
    this.rows = new Map();
    this.cursor = null;
    this.open = null;
    this.timer = 0;
    $("older").addEventListener("click", () => this.#older());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.refresh(); });
  }

  async refresh() {
    clearTimeout(this.timer);
    const round = this.round = (this.round ?? 0) + 1;
    try {
      const page = await json(`/v1/lifts?limit=${PAGE}`);
      if (round !== this.round) return;
      // What is older than this page was asked for by hand, and is kept as it was.
      const oldest = page.lifts.at(-1)?.created_at ?? "";
      const older = page.next_cursor ? [...this.lifts.values()].filter((lift) => lift.created_at < oldest) : [];
      if (!older.length) this.cursor = page.next_cursor;
      this.#set([...page.lifts, ...older]);
      this.onTrouble(null);
    } catch (error) {
      if (round !== this.round) return;
      this.onTrouble(error);
      // Asking again without a key would only ask the person again.
      if (error.status === 401) return;
    }
    clearTimeout(this.timer);
    const lively = [...this.lifts.values()].some((lift) => !over(lift));
    if (!document.hidden) this.timer = setTimeout(() => this.refresh(), lively ? LIVELY_MS : QUIET_MS);
  }

  // A lift that was just looked at by itself.
  learn(lift) {
    this.#set([lift, ...[...this.lifts.values()].filter((other) => other.id !== lift.id)]);
  }

  empty() { this.#set([]); }

  forget(id) { this.#set([...this.lifts.values()].filter((lift) => lift.id !== id)); }

  async #older() {
    const page = await json(`/v1/lifts?limit=${PAGE}&cursor=${encodeURIComponent(this.cursor)}`);
    this.cursor = page.next_cursor;
    this.#set([...this.lifts.values(), ...page.lifts]);
  }

  mark(id) {
    this.open = id;
    for (const [other, row] of this.rows) {
      if (other === id) row.link.setAttribute("aria-current", "page");
      else row.link.removeAttribute("aria-current");
    }
  }

  #set(lifts) {
    lifts.sort((a, b) => b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id));
    this.lifts = new Map(lifts.map((lift) => [lift.id, lift]));
    for (const [id, row] of this.rows) if (!this.lifts.has(id)) { row.item.remove(); this.rows.delete(id); }
    const list = $("lifts");
    [...this.lifts.values()].forEach((lift, place) => {
      const row = this.rows.get(lift.id) ?? this.#row(lift);
      this.#fill(row, lift);
      if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] ?? null);
      this.onNews(lift);
    });
    this.mark(this.open);
    const active = lifts.filter((lift) => !over(lift)).length;
    write($("tally"), active ? `${active} on the way` : "");
    show($("no-lifts"), !lifts.length);
    show($("older"), Boolean(this.cursor));
  }

  #row(lift) {
    const image = make("img", { alt: "", loading: "lazy" });
    const parts = { title: make("b"), state: make("span", { class: "state" }), when: make("span", { class: "when" }), bar: make("progress", { max: 1, "aria-hidden": "true" }) };
    const words = make("span", { class: "lift-words" }, parts.title, make("span", { class: "lift-state" }, parts.state, " ", parts.when), parts.bar);
    const link = make("a", { href: `#/lifts/${lift.id}` }, make("span", { class: "thumb" }, image), words);
    const item = make("li", {}, link);
    const row = { item, link, image, ...parts };
    this.rows.set(lift.id, row);
    return row;
  }

  #fill(row, lift) {
    write(row.title, titleOf(lift));
    row.state.dataset.state = lift.status;
    write(row.state, stateWords(lift));
    write(row.when, moment(lift.created_at));
    show(row.bar, lift.status === "running");
    row.bar.value = lift.progress;
    showThumbnail(row.image, lift);
  }
}

function stateWords(lift) {
  if (lift.status === "queued" && lift.queue_position) return `${STATES.queued}, number ${lift.queue_position}`;
  if (lift.status !== "running") return STATES[lift.status];
  return lift.cancel_asked ? "Stopping" : `${stageWords(lift.stage)}, ${percent(lift.progress)}`;
}
