// One lift: followed while it is made, looked at from all sides once it is there.

import { follow, hasKey, json, jsonOnce, objectUrl, pause, release, request } from "./api.js";
import { $, make, say, show, still, trouble, write } from "./dom.js";
import { fileOf, over, plainName, showThumbnail, titleOf } from "./lifts.js";
import { showModel } from "./viewer.js";
import { duration, inWords, moment, percent, QUALITIES, size, STAGES, STATES, stageWords } from "./words.js";

const FILES = {
  "asset.glb": "Model, GLB", "points.ply": "Point cloud, PLY", "turntable.mp4": "Turntable, MP4", "preview.png": "Sheet, PNG",
  "subject.png": "Cut-out, PNG", "reference.png": "Picture, PNG", "mask.png": "Mask, PNG", "depth.png": "Depth, PNG", "result.json": "All figures, JSON",
};
const FIRST_FILES = ["asset.glb", "points.ply", "turntable.mp4", "result.json"];
const SPOKEN_EVERY = 0.25;
const AGAIN_MS = 3000;

export class LiftView {
  // ``onChange`` is told of the lift after something was done to it, ``onAgain`` of one made from it, ``onReuse`` of its
  // picture, ``onGone`` of the id of one that was deleted.
  constructor(told) {
    Object.assign(this, told);
    this.lift = null;
    this.id = null;
    this.stopper = null;
    for (const button of document.querySelectorAll("[data-look]")) {
      button.addEventListener("click", () => this.#look(button.dataset.look));
    }
    for (const [id, act] of Object.entries({
      again: () => this.#again(), reuse: () => this.#reuse(), cancel: () => this.#cancel(), delete: () => this.#delete(),
    })) $(id).addEventListener("click", () => this.#act($(id), act));
    $("stages").replaceChildren(...STAGES.map(([key, words]) => make("li", { "data-stage": key }, words)));
  }

  // ---- opening and closing ----

  async open(id) {
    this.close();
    this.id = id;
    this.stopper = new AbortController();
    const { signal } = this.stopper;
    trouble($("lift-trouble"), null);
    for (const part of ["working", "result", "again", "reuse", "cancel", "delete"]) show($(part), false);
    write($("lift-title"), "Loading ...");
    write($("lift-facts"), "");
    while (!signal.aborted) {
      try {
        await this.#first(id, signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        write($("lift-title"), "Not to be seen");
        trouble($("lift-trouble"), inWords(error));
        // What is not there stays away; a service that stumbles comes back.
        if (error.status >= 400 && error.status < 500) return;
        await pause(AGAIN_MS, signal);
      }
    }
  }

  async #first(id, signal) {
    const answer = await request(`/v1/lifts/${id}`, { signal });
    this.version = /-(\d+)"$/.exec(answer.headers.get("ETag") ?? "")?.[1] ?? "";
    const lift = await answer.json();
    trouble($("lift-trouble"), null);
    this.show(lift);
    if (!over(lift)) this.#follow(id, signal);
  }

  close() {
    this.stopper?.abort();
    for (const path of this.#sights ?? []) release(path);
    this.#sights = [];
    this.lift = this.id = this.shown = null;
    this.spoken = 0;
    $("look-model").replaceChildren();
    $("turntable").removeAttribute("src");
    show($("sight"), false);
    show($("sight-wait"));
    delete $("working-photo").dataset.path;
  }

  #sights = [];

  // ---- following ----

  #follow(id, signal) {
    follow(`/v1/lifts/${id}/events`, {
      signal,
      after: this.version,
      onEvent: (event) => this.#event(event),
      onLost: () => this.#refresh(signal),
    });
  }

  #event({ kind, data }) {
    const { lift } = this;
    if (!lift) return;
    if (kind === "preview") {
      this.#sight(data.url);
    } else if (kind === "state") {
      if (data.state !== lift.status) this.#refresh(this.stopper.signal);
    } else {
      for (const name of ["stage", "step", "steps", "progress"]) if (data[name] !== undefined) lift[name] = data[name];
      this.#progress();
      this.onChange(lift);
    }
  }

  async #refresh(signal) {
    try {
      const lift = await json(`/v1/lifts/${this.id}`, { signal });
      if (signal.aborted) return;
      this.show(lift);
      this.onChange(lift);
    } catch (error) {
      if (!signal.aborted && error.status === 404) { trouble($("lift-trouble"), inWords(error)); show($("working"), false); }
    }
  }

  async #sight(path) {
    const { id } = this;
    try {
      const address = await objectUrl(path);
      this.#sights.push(path);
      if (this.id !== id) { release(path); return; }
      $("sight").src = address;
      $("sight").alt = "The thing as it is now, from four sides";
      show($("sight"));
      show($("sight-wait"), false);
      while (this.#sights.length > 2) release(this.#sights.shift());
    } catch { /* replaced by a newer one meanwhile */ }
  }

  // ---- as it stands ----

  // The open lift as the list saw it, which is not told of its files.
  news(lift) {
    const { lift: known } = this;
    if (lift.id !== this.id || !known || over(known) || lift === known) return;
    if (lift.status !== known.status) { this.#refresh(this.stopper.signal); return; }
    for (const name of ["queue_position", "starts_in_s", "ends_in_s"]) known[name] = lift[name];
    this.#progress();
  }

  show(lift) {
    const before = this.lift;
    if (before && over(before) && !over(lift)) return;
    this.lift = lift;
    document.title = `${over(lift) ? STATES[lift.status] : percent(lift.progress)}: ${titleOf(lift)} - lift3d-ray`;
    write($("lift-title"), titleOf(lift));
    write($("lift-facts"), facts(lift));
    const running = !over(lift);
    show($("working"), running);
    show($("cancel"), running);
    $("cancel").disabled = lift.cancel_asked;
    for (const part of ["again", "reuse", "delete"]) show($(part), !running);
    show($("result"), lift.status === "succeeded");
    if (running) this.#working(before);
    else if (before?.status !== lift.status) this.#ended(before);
  }

  #working() {
    const { lift } = this;
    showThumbnail($("working-photo"), lift);
    if (lift.preview) this.#sight(lift.preview);
    this.#progress();
  }

  #progress() {
    const { lift } = this;
    const name = lift.stage.split(" ")[0];
    const at = STAGES.findIndex(([key]) => key === name);
    [...$("stages").children].forEach((item, place) => {
      item.dataset.state = lift.status !== "running" || place > at ? "ahead" : place < at ? "done" : "now";
      if (item.dataset.state === "now") item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    const place = lift.queue_position;
    write($("stage-words"), lift.cancel_asked ? "Stopping" : lift.status === "queued"
      ? (place > 1 ? `Waiting, number ${place} in the queue` : "Waiting, next in the queue") : stageWords(lift.stage));
    write($("stage-step"), lift.status === "running" && lift.steps > 1 ? `step ${lift.step} of ${lift.steps}` : "");
    $("bar").value = lift.progress;
    write($("percent"), percent(lift.progress));
    write($("eta"), lift.ends_in_s === null ? "" : `about ${duration(lift.ends_in_s)} left`);
    const spoken = Math.floor(lift.progress / SPOKEN_EVERY);
    if (spoken > (this.spoken ?? 0)) { this.spoken = spoken; say(`${percent(lift.progress)}: ${stageWords(lift.stage)}`); }
  }

  #ended(before) {
    const { lift } = this;
    if (before) say(`${titleOf(lift)}: ${STATES[lift.status]}`);
    trouble($("lift-trouble"), lift.status === "failed" ? inWords(lift.error ?? {}) : lift.status === "canceled"
      ? { title: "Canceled", advice: "Nothing was kept of it but the picture." } : null);
    if (lift.status === "succeeded") this.#things();
  }

  // ---- what came of it ----

  #things() {
    const count = this.lift.things;
    show($("things"), count > 1);
    $("things").replaceChildren(...Array.from({ length: count }, (_, place) => {
      const button = make("button", { type: "button", "aria-pressed": place === 0 }, `Thing ${place + 1}`);
      button.addEventListener("click", () => this.#thing(place + 1));
      return button;
    }));
    this.#thing(1);
  }

  #thing(thing) {
    const { lift } = this;
    this.shown = thing;
    [...$("things").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place + 1 === thing)));
    for (const [id, name, words] of [
      ["print-subject", "subject.png", "What was cut out of the picture"],
      ["print-mask", "mask.png", "The mask, white on the thing"],
      ["print-depth", "depth.png", "Its depth, nearer is brighter"],
      ["sheet", "preview.png", "Sheet of the picture, its cut-out, and the thing from six sides in colour and as normals"],
    ]) this.#print($(id), fileOf(lift, name, thing), words);
    $("look-normals").replaceChildren();
    $("turntable").removeAttribute("src");
    $("downloads").replaceChildren(...this.#downloads(thing));
    this.#figures(thing);
    this.#look("model");
  }

  async #print(image, file, words) {
    image.removeAttribute("src");
    image.alt = words;
    show(image.closest("figure") ?? image, Boolean(file));
    if (!file) return;
    const { id, shown } = this;
    try {
      const address = await objectUrl(file.url);
      if (this.id === id && this.shown === shown) image.src = address;
    } catch { show(image.closest("figure") ?? image, false); }
  }

  async #look(what) {
    const { id, lift, shown } = this;
    const wanted = () => this.id === id && this.shown === shown;
    for (const button of document.querySelectorAll("[data-look]")) {
      button.setAttribute("aria-pressed", String(button.dataset.look === what));
      show($(`look-${button.dataset.look}`), button.dataset.look === what);
    }
    show($("turning"), what === "model");
    if (what !== "turntable") $("turntable").pause();
    const file = (name) => fileOf(lift, name, shown);
    try {
      if (what === "model" && !$("look-model").querySelector(`[data-of="${CSS.escape(`${id} ${shown}`)}"]`)) {
        const model = file("asset.glb");
        const box = make("div", { class: "model", "data-of": `${id} ${shown}` });
        $("look-model").replaceChildren(box);
        if (model) await showModel(box, model.url, `Model: ${titleOf(lift)}`, wanted);
      } else if (what === "turntable" && !$("turntable").hasAttribute("src") && file("turntable.mp4")) {
        const address = await objectUrl(file("turntable.mp4").url);
        if (wanted()) { $("turntable").src = address; if (!still()) $("turntable").play().catch(() => {}); }
      } else if (what === "normals" && !$("look-normals").children.length && file("preview.png")) {
        const address = await objectUrl(file("preview.png").url);
        if (wanted()) $("look-normals").replaceChildren(...normals(address));
      }
    } catch (error) {
      if (wanted()) trouble($("lift-trouble"), inWords(error));
    }
  }

  #downloads(thing) {
    const files = this.lift.files.filter((file) => file.thing === thing && plainName(file) in FILES);
    const rank = (file) => { const at = FIRST_FILES.indexOf(plainName(file)); return at < 0 ? FIRST_FILES.length : at; };
    return files.sort((a, b) => rank(a) - rank(b)).map((file) => {
      const link = make("a", { href: file.url, download: downloadName(this.lift, file), "data-file": plainName(file) }, FILES[plainName(file)]);
      link.addEventListener("click", (event) => {
        if (!hasKey()) return;
        event.preventDefault();
        this.#save(link, file);
      });
      return make("li", {}, link, " ", make("span", { class: "hint" }, size(file.bytes)));
    });
  }

  // The browser cannot send a key with a link: the file is fetched, then handed over.
  async #save(link, file) {
    try {
      const there = await objectUrl(file.url);
      make("a", { href: there, download: link.download }).click();
    } catch (error) {
      trouble($("lift-trouble"), inWords(error));
    }
  }

  async #figures(thing) {
    const { id, lift } = this;
    const rows = [["Seed", lift.seed], ["Recipe", lift.recipe], ["Quality", QUALITIES[lift.quality]?.[0] ?? lift.quality], ["Selected", selected(lift.selection)]];
    if (lift.best_of > 1) rows.push(["Best of", lift.best_of]);
    if (lift.started_at && lift.finished_at) rows.push(["Took", exact((new Date(lift.finished_at) - new Date(lift.started_at)) / 1000)]);
    const fill = () => $("figures").replaceChildren(...rows.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, String(value)))));
    fill();
    const file = fileOf(lift, "result.json", thing);
    if (!file) return;
    try {
      const result = await (await fetch(await objectUrl(file.url))).json();
      if (this.id !== id || this.shown !== thing) return;
      if (lift.things > 1 && result.caption) write($("lift-title"), `${result.caption}, and ${lift.things - 1} more`);
      if (result.mesh) rows.push(["Faces", result.mesh.faces.toLocaleString()], ["Vertices", result.mesh.vertices.toLocaleString()]);
      fill();
    } catch { /* the figures of the lift itself stay */ }
  }

  // ---- what can be done with it ----

  async #act(button, act) {
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      trouble($("lift-trouble"), inWords(error));
    } finally {
      button.disabled = button.id === "cancel" && Boolean(this.lift?.cancel_asked);
    }
  }

  async #again() {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    const headers = { "Content-Type": "application/json" };
    this.onAgain(await jsonOnce(`/v1/lifts/${this.id}/again`, { method: "POST", headers, body: JSON.stringify({ seed }) }));
  }

  async #reuse() {
    const blob = await (await request(`/v1/lifts/${this.id}/picture`)).blob();
    this.onReuse(new File([blob], this.lift.name, { type: blob.type }));
  }

  async #cancel() {
    const lift = await json(`/v1/lifts/${this.id}/cancel`, { method: "POST" });
    say("Asked to stop.");
    this.show(lift);
    this.onChange(lift);
  }

  async #delete() {
    if (!await this.onSure("Delete this lift?", "Its model and all its files are taken away for good.")) return;
    await request(`/v1/lifts/${this.id}`, { method: "DELETE" });
    say("Deleted.");
    this.onGone(this.id);
  }
}

// The lower row of the sheet: six views of the surface's directions.
function normals(address) {
  return Array.from({ length: 6 }, (_, view) => make(
    "span", { class: `cell normal-${view + 1}` }, make("img", { src: address, alt: view ? "" : "The directions of its surface, from six sides" }),
  ));
}

function facts(lift) {
  const parts = [lift.name, QUALITIES[lift.quality]?.[0] ?? lift.quality, `seed ${lift.seed}`, moment(lift.created_at)];
  return (lift.name === titleOf(lift) ? parts.slice(1) : parts).join(" \u00b7 ");
}

function selected(text) {
  if (text === "auto") return "the main thing";
  if (text === "all") return "everything";
  if (text.startsWith("words: ")) return text.slice(7);
  return text.startsWith("#") ? `thing ${text.slice(1)}` : "pointed at";
}

function exact(seconds) { return seconds < 100 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`; }

function downloadName(lift, file) {
  const stem = titleOf(lift).replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 40) || "lift";
  return `${stem}-${lift.seed}${lift.things > 1 ? `-${file.thing}` : ""}-${plainName(file)}`;
}
