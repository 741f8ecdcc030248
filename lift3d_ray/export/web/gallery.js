// The gallery's behaviour: models come alive while they are in view, a search box, an order, and a closer look.
// Everything shown is already in the page as text; nothing here builds HTML out of data.
"use strict";

(() => {
  const LIVE_MOST = 6;
  const SETTLE_MS = 250;
  const PATIENCE_MS = 4000;
  const CALLBACK = "lift3dRayModel";
  const $ = (id) => document.getElementById(id);
  const list = $("assets");
  const cards = [...list.querySelectorAll(".card")];
  const failures = [...document.querySelectorAll("#failures li")];
  const dialog = $("detail");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // ---- models: each comes as a script, because a page on disk may not fetch the file beside it ----

  const waiting = new Map();
  window[CALLBACK] = (script, packed) => waiting.get(script)?.resolve(packed);

  function packedModel(folder) {
    const script = document.createElement("script");
    const packed = new Promise((resolve, reject) => waiting.set(script, { resolve, reject }));
    script.onerror = () => waiting.get(script)?.reject(new Error("asset.glb.js is missing"));
    script.src = `${folder}/asset.glb.js`;
    document.head.append(script);
    return packed.finally(() => { waiting.delete(script); script.remove(); });
  }

  async function modelAddress(folder) {
    const bytes = Uint8Array.from(atob(await packedModel(folder)), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const glb = await new Response(unpacked).arrayBuffer();
    return URL.createObjectURL(new Blob([glb], { type: "model/gltf-binary" }));
  }

  function orbiting() { return $("orbit").getAttribute("aria-pressed") === "true"; }

  // The camera is the one that drew the preview, so a card does not jump when its model takes over.
  async function viewer(folder, label, settings) {
    if (!customElements.get("model-viewer")) throw new Error("the viewer is missing");
    const element = document.createElement("model-viewer");
    const attributes = {
      alt: label, "camera-controls": "", "touch-action": "pan-y", "interaction-prompt": "none", loading: "eager",
      "camera-orbit": "0deg 75deg 3.2m", "camera-target": "0m 0m 0m", "field-of-view": "40deg",
      "min-camera-orbit": "auto 5deg 1.4m", "max-camera-orbit": "auto 175deg 6m", "min-field-of-view": "40deg",
      "max-field-of-view": "40deg", "auto-rotate-delay": "0", "rotation-per-second": "30deg", ...settings,
    };
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.toggleAttribute("auto-rotate", orbiting());
    const address = await modelAddress(folder);
    element.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    element.addEventListener("error", () => URL.revokeObjectURL(address), { once: true });
    element.src = address;
    return element;
  }

  // On a slow machine the viewer calls itself loaded before its first picture is up.
  function whenDrawn(element, then) {
    element.addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(then)));
  }

  // ---- the grid: a few models alive at once, those best in view ----

  const inView = new Map();
  const alive = new Map();
  let favoured = null;
  let timer = 0;
  let busy = false;

  function wanted() {
    if (!orbiting() || dialog.open) return [];
    const rank = (card) => (card === favoured ? 2 : inView.get(card) ?? 0);
    return [...inView.keys()].filter((card) => !card.hidden && !("broken" in card.dataset))
      .sort((a, b) => rank(b) - rank(a)).slice(0, LIVE_MOST);
  }

  function settle() { clearTimeout(timer); timer = setTimeout(refresh, SETTLE_MS); }

  async function refresh() {
    if (busy) return;
    busy = true;
    for (let next; ; await enliven(next)) {
      const now = wanted();
      for (const card of [...alive.keys()]) if (!now.includes(card)) retire(card);
      next = now.find((card) => !alive.has(card));
      if (!next) break;
    }
    busy = false;
  }

  async function enliven(card) {
    const stage = card.querySelector(".stage");
    alive.set(card, null);
    try {
      const element = await viewer(card.dataset.folder, card.dataset.caption, { "disable-zoom": "" });
      if (alive.get(card) !== null) return;
      alive.set(card, element);
      // One after the other: a machine that draws slowly would otherwise draw none of them for long.
      await new Promise((done) => {
        setTimeout(done, PATIENCE_MS);
        whenDrawn(element, () => { stage.classList.toggle("live", alive.get(card) === element); done(); });
        element.addEventListener("error", () => { trouble(card, "The viewer cannot show this model here."); done(); });
        stage.append(element);
      });
    } catch (error) {
      trouble(card, `No model to show: ${error.message}.`);
    }
  }

  function retire(card) {
    alive.get(card)?.remove();
    alive.delete(card);
    card.querySelector(".stage").classList.remove("live");
  }

  function trouble(card, sentence) {
    retire(card);
    card.dataset.broken = "";
    card.querySelector(".stage").append(note(sentence));
  }

  function note(sentence) {
    const paragraph = document.createElement("p");
    paragraph.className = "trouble";
    paragraph.textContent = sentence;
    return paragraph;
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) inView.set(entry.target, entry.intersectionRatio);
      else inView.delete(entry.target);
    }
    settle();
  }, { threshold: [0, 0.5, 0.9] });

  for (const card of cards) {
    watcher.observe(card);
    const favour = () => { favoured = card; settle(); };
    card.addEventListener("pointerenter", favour);
    card.addEventListener("focusin", favour);
    card.querySelector("h2 button").addEventListener("click", () => open(card));
    card.querySelector(".photo").addEventListener("click", () => open(card));
  }

  // ---- search and order ----

  function search() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (item) => words.every((word) => item.dataset.text.includes(word));
    for (const item of [...cards, ...failures]) item.hidden = !matches(item);
    const count = cards.filter((card) => !card.hidden).length;
    const lost = failures.filter((item) => !item.hidden).length;
    $("shown").textContent = words.length ? `${count} of ${cards.length} assets, ${lost} of ${failures.length} failures` : "";
    settle();
  }

  function order() {
    const [by, direction] = $("order").value.split(":");
    const figure = (card) => Number(JSON.parse(card.dataset.figures)[by] ?? NaN);
    const compare = {
      "": (a, b) => cards.indexOf(a) - cards.indexOf(b),
      caption: (a, b) => a.dataset.caption.localeCompare(b.dataset.caption),
      name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }),
    }[by] ?? ((a, b) => {
      const [x, y] = [figure(a), figure(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return direction === "down" ? y - x : x - y;
    });
    list.append(...[...cards].sort(compare));
    settle();
  }

  // ---- a closer look ----

  let looking = null;

  function shownCards() { return [...list.children].filter((card) => !card.hidden); }

  async function open(card) {
    looking = card;
    const { folder, caption, name } = card.dataset;
    const around = shownCards();
    $("detail-caption").textContent = caption;
    $("detail-name").textContent = name;
    $("detail-place").textContent = `${around.indexOf(card) + 1} of ${around.length}`;
    for (const id of ["detail-photo", "detail-cutout", "detail-asset"]) $(id).src = `${folder}/preview.png`;
    $("detail-photo").alt = `The photo: ${caption}`;
    $("detail-cutout").alt = "What was cut out of it";
    $("detail-video").src = `${folder}/turntable.mp4`;
    $("detail-files").replaceChildren(...[...card.querySelector(".files").children].map((link) => link.cloneNode(true)));
    $("detail-facts").replaceChildren(...Object.entries(JSON.parse(card.dataset.labelled)).map(figureRow));
    $("detail-viewer").replaceChildren();
    const stage = $("detail-viewer").parentElement;
    stage.classList.remove("live");
    if (!dialog.open) { dialog.showModal(); settle(); }
    try {
      const element = await viewer(folder, caption, {});
      whenDrawn(element, () => stage.classList.toggle("live", looking === card));
      if (looking === card) $("detail-viewer").replaceChildren(element);
    } catch (error) {
      if (looking === card) $("detail-viewer").replaceChildren(note(`No model to show: ${error.message}.`));
    }
  }

  function figureRow([label, value]) {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const figure = document.createElement("dd");
    term.textContent = label;
    figure.textContent = value;
    row.append(term, figure);
    return row;
  }

  function step(by) {
    const around = shownCards();
    if (around.length) open(around[(around.indexOf(looking) + by + around.length) % around.length]);
  }

  dialog.addEventListener("close", () => {
    $("detail-viewer").replaceChildren();
    $("detail-video").removeAttribute("src");
    $("detail-video").load();
    looking?.querySelector("h2 button").focus();
    looking = null;
    settle();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  $("close").addEventListener("click", () => dialog.close());
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, video, model-viewer");
    if (event.key === "/" && !typing && !dialog.open) { event.preventDefault(); $("search").focus(); }
    if (dialog.open && !typing && event.key === "ArrowLeft") step(-1);
    if (dialog.open && !typing && event.key === "ArrowRight") step(1);
  });

  // ---- orbit and theme, remembered where the browser allows it ----

  function remembered(key) { try { return localStorage.getItem(key); } catch { return null; } }
  function remember(key, value) { try { localStorage.setItem(key, value); } catch { /* a page on disk may have no storage */ } }

  function setOrbit(on) {
    $("orbit").setAttribute("aria-pressed", String(on));
    document.querySelectorAll("model-viewer").forEach((element) => element.toggleAttribute("auto-rotate", on));
    settle();
  }

  const savedTheme = remembered("lift3d-theme");
  if (savedTheme) document.documentElement.dataset.theme = savedTheme;
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember("lift3d-theme", root.dataset.theme);
  });
  $("orbit").addEventListener("click", () => { setOrbit(!orbiting()); remember("lift3d-orbit", String(orbiting())); });
  setOrbit((remembered("lift3d-orbit") ?? String(!still.matches)) === "true");
  $("search").addEventListener("input", search);
  $("order").addEventListener("change", order);
})();
