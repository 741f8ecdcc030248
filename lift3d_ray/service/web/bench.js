// The bench: a picture comes in, what to lift of it is shown to the service, and the lift is asked for.

import { json, jsonOnce, request } from "./api.js";
import { Asker } from "./asker.js";
import { $, choose, chosen, make, say, show, trouble, write } from "./dom.js";
import { subjectLayer, tintLayer } from "./masks.js";
import { Stage } from "./stage.js";
import { inWords, percent, QUALITIES, RECIPES } from "./words.js";

const LOOKED_AT_PX = 1280;
const SEND_AS_IT_IS_BYTES = 1.5e6;
const HOVER_MS = 120;
const TYPING_MS = 500;
// Where the models are slower than this, nothing follows the mouse.
const HOVER_PATIENCE_MS = 1500;

export class Bench {
  // ``onLift`` is told of a lift that was accepted.
  constructor({ onLift }) {
    this.onLift = onLift;
    this.file = null;
    this.seen = null;
    this.found = [];
    this.hoverable = true;
    this.masks = new Asker(60);
    this.hovers = new Asker(HOVER_MS);
    this.captions = new Asker(400);
    this.stage = new Stage({ onChange: (told) => this.#pointed(told), onHover: (place) => this.#hover(place) });
    this.#listen();
  }

  // ---- settings that the service told ----

  offer(choices) {
    this.choices = choices;
    $("recipe").replaceChildren(...choices.recipes.map((name) => make("option", { value: name }, name)));
    $("recipe").value = choices.recipe;
    $("qualities").replaceChildren(...choices.qualities.map((name) => make(
      "label", {},
      make("input", { type: "radio", name: "quality", value: name, checked: name === choices.quality }),
      make("span", {}, QUALITIES[name]?.[0] ?? name),
    )));
    $("best-of").max = choices.most_seeds;
    this.#hints();
  }

  #hints() {
    write($("quality-hint"), QUALITIES[chosen("quality")]?.[1] ?? "");
    write($("recipe-hint"), RECIPES[$("recipe").value] ?? "");
  }

  #listen() {
    $("file").addEventListener("change", () => {
      const [file] = $("file").files;
      if (file) this.take(file);
      $("file").value = "";
    });
    for (const button of document.querySelectorAll("[data-example]")) {
      button.addEventListener("click", () => this.#example(button.dataset.example));
    }
    $("order").addEventListener("change", (event) => {
      if (event.target.name === "mode") this.#modeChosen();
      if (event.target.name === "tool") this.stage.element.dataset.tool = chosen("tool");
      this.#hints();
    });
    $("words").addEventListener("input", () => this.#look(TYPING_MS));
    $("caption").addEventListener("input", () => { this.own = Boolean(printable($("caption").value)); });
    $("undo").addEventListener("click", () => this.stage.undo());
    $("clear").addEventListener("click", () => this.stage.reset());
    $("dice").addEventListener("click", () => { $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0]; });
    $("other").addEventListener("click", () => { this.leave(); $("file").focus(); });
    $("order").addEventListener("submit", (event) => { event.preventDefault(); this.#lift(); });
  }

  // ---- a picture comes in ----

  async #example(path) {
    try {
      const blob = await (await request(path)).blob();
      this.take(new File([blob], path.split("/").pop(), { type: blob.type }));
    } catch (error) {
      trouble($("bench-trouble"), inWords(error));
    }
  }

  async take(file) {
    this.leave();
    if (this.choices && file.size > this.choices.body_bytes) {
      trouble($("bench-trouble"), inWords({ code: "too-large", message: `${file.name} has ${file.size} bytes; at most ${this.choices.body_bytes} are taken.` }));
      return;
    }
    this.file = file;
    this.#ready(false);
    write($("picture-name"), file.name);
    show($("intake"), false);
    show($("order"));
    $("caption").value = "";
    this.own = false;
    this.stage.clear();
    choose("mode", "auto");
    choose("tool", "add");
    this.stage.element.dataset.tool = "add";
    this.#modeShown();
    this.stage.setLayers([]);
    await this.#picture(file);
    if (this.file !== file) return;
    say(`${file.name} is on the bench.`);
    this.#look();
  }

  // What the browser makes of the file; where it is large, a smaller copy is what the models look at.
  async #picture(file) {
    const photo = $("photo");
    if (photo.src) URL.revokeObjectURL(photo.src);
    photo.src = URL.createObjectURL(file);
    photo.alt = "";
    this.seen = file;
    const shown = await photo.decode().then(() => true, () => false);
    if (this.file !== file) return;
    show(photo, shown);
    show($("unshown"), !shown);
    this.stage.element.style.aspectRatio = shown ? `${photo.naturalWidth} / ${photo.naturalHeight}` : "4 / 3";
    const longest = Math.max(photo.naturalWidth, photo.naturalHeight);
    if (shown && file.size > SEND_AS_IT_IS_BYTES) this.seen = await smaller(photo, LOOKED_AT_PX / longest) ?? file;
  }

  leave() {
    this.masks.drop();
    this.hovers.drop();
    this.captions.drop();
    this.file = null;
    this.found = [];
    show($("intake"));
    show($("order"), false);
    trouble($("bench-trouble"), null);
  }

  // ---- what to lift of it ----

  #modeChosen() {
    this.#modeShown();
    this.#look();
    if (chosen("mode") === "words") $("words").focus();
  }

  #modeShown() {
    const mode = chosen("mode");
    show($("pointing"), mode === "point");
    show($("saying"), mode === "words");
    show($("caption-row"), mode !== "every");
  }

  #pointed(told) {
    if (told) { write($("stage-said"), told); return; }
    if (chosen("mode") !== "point") { choose("mode", "point"); this.#modeShown(); }
    this.#look();
  }

  // The selection as the API knows it, or null where nothing was said yet.
  selection() {
    const mode = chosen("mode");
    if (mode === "every") return { every: true };
    if (mode === "words") {
      const text = printable($("words").value);
      return text ? { text } : null;
    }
    if (mode === "point") return this.stage.empty ? null : this.stage.pointing();
    return {};
  }

  #form(selection, picture = this.file) {
    const form = new FormData();
    form.append("picture", picture, this.file.name);
    form.append("selection", JSON.stringify(selection));
    return form;
  }

  async #look(waitMs = 60) {
    const selection = this.selection();
    this.hovers.drop();
    this.captions.drop();
    this.stage.setHovered(null);
    this.#ready(false);
    if (!this.file || !selection) {
      this.masks.drop();
      this.found = [];
      this.stage.setLayers([]);
      write($("stage-said"), this.file ? { point: "Click the thing in the picture.", words: "Say what it is." }[chosen("mode")] : "");
      return;
    }
    write($("stage-said"), "Looking ...");
    this.masks.waitMs = waitMs;
    const started = performance.now();
    try {
      const answer = await this.masks.ask((signal) => json("/v1/segment", { method: "POST", body: this.#form(selection, this.seen), signal }));
      if (!answer) return;
      this.hoverable = performance.now() - started - waitMs < HOVER_PATIENCE_MS;
      await this.#showMasks(answer, selection);
      this.#caption(selection);
    } catch (error) {
      this.found = [];
      this.stage.setLayers([]);
      const { title, advice, detail } = inWords(error);
      write($("stage-said"), [title, error.code === "error" ? detail : advice].filter(Boolean).join(". "));
      // The picture itself is at fault where the service says so; otherwise it may still be lifted.
      this.#ready(error.status !== 422 && error.status !== 413);
    }
  }

  async #showMasks({ masks, width, height }, selection) {
    this.found = selection.every ? masks : masks.slice(0, 1);
    if ($("photo").hidden) this.stage.element.style.aspectRatio = `${width} / ${height}`;
    this.stage.setLayers(await Promise.all(
      selection.every ? masks.map((mask, number) => tintLayer(mask, number)) : this.found.map(subjectLayer),
    ));
    const { area, score } = this.found[0];
    write($("stage-said"), selection.every
      ? (masks.length === 1 ? "1 thing, which becomes a model." : `${masks.length} things; each becomes a model of its own.`)
      : `This covers ${percent(area)} of the picture; the service is ${percent(Math.min(1, score))} sure of its edge.`);
    this.#ready(true);
  }

  async #hover(place) {
    if (!place || !this.file || !this.hoverable || !["auto", "point"].includes(chosen("mode")) || !this.stage.empty) {
      this.hovers.drop();
      this.stage.setHovered(null);
      return;
    }
    if (this.masks.busy) return;
    const selection = { points: [[place.x, place.y]] };
    try {
      const answer = await this.hovers.ask((signal) => json("/v1/segment", { method: "POST", body: this.#form(selection, this.seen), signal }));
      if (answer && this.stage.empty) this.stage.setHovered(await tintLayer(answer.masks[0], 1));
    } catch {
      // Nothing there: that is no news to somebody who only moves the mouse.
      this.stage.setHovered(null);
    }
  }

  async #caption(selection) {
    if (selection.every || this.own) return;
    try {
      const answer = await this.captions.ask((signal) => json("/v1/caption", { method: "POST", body: this.#form(selection, this.seen), signal }));
      if (answer && !this.own) $("caption").value = answer.caption;
    } catch {
      // The lift finds its own words.
    }
  }

  #ready(ready) { $("go").disabled = !ready; }

  // ---- asking for it ----

  async #lift() {
    const selection = this.selection();
    if (!this.file || !selection || this.lifting) return;
    const form = this.#form(selection);
    form.append("name", pictureName(this.file));
    form.append("recipe", $("recipe").value);
    form.append("quality", chosen("quality"));
    form.append("seed", $("seed").value);
    form.append("best_of", $("best-of").value);
    const words = printable($("caption").value);
    if (this.own && words && !selection.every) form.append("prompt", words);
    trouble($("bench-trouble"), null);
    this.lifting = true;
    this.#ready(false);
    write($("go"), "Sending ...");
    try {
      this.onLift(await jsonOnce("/v1/lifts", { method: "POST", body: form }));
    } catch (error) {
      trouble($("bench-trouble"), inWords(error));
    } finally {
      this.lifting = false;
      write($("go"), "Lift it");
      this.#ready(true);
    }
  }
}

// Names and words as the service takes them: cameras and office programs like spaces that cannot be printed.
function printable(text) { return text.replace(/[\p{C}\p{Z}]+/gu, " ").trim(); }

function pictureName(file) { return [...printable(file.name)].slice(-200).join("") || "picture"; }

async function smaller(photo, scale) {
  const side = (px) => Math.max(1, Math.round(px * Math.min(1, scale)));
  const canvas = new OffscreenCanvas(side(photo.naturalWidth), side(photo.naturalHeight));
  try {
    canvas.getContext("2d").drawImage(photo, 0, 0, canvas.width, canvas.height);
    // WebP keeps transparency, which may be the picture's own cut-out.
    return await canvas.convertToBlob({ type: "image/webp", quality: 0.95 });
  } catch {
    return null;
  }
}
