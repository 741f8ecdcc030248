// Puts the page together: which of its two halves is seen, the key, the theme, and how the service is.

import { json, onKeyWanted, setKey } from "./api.js";
import { Bench } from "./bench.js";
import { $, show, trouble, write } from "./dom.js";
import { LiftView } from "./lift.js";
import { Lifts } from "./lifts.js";
import { inWords } from "./words.js";

const CHOICES = "/web/choices.json";
const LIFT = /^#\/lifts\/([0-9a-zA-Z_-]{1,64})$/;
const HEALTH_MS = 30000;
const TITLE = document.title;

const bench = new Bench({ onLift: (lift) => go(lift) });
const view = new LiftView({
  onChange: (lift) => lifts.learn(lift),
  onAgain: (lift) => go(lift),
  onReuse: (file) => { location.hash = "#/"; bench.take(file); },
  onGone: (id) => { lifts.forget(id); location.hash = "#/"; },
  onSure: sure,
});
const lifts = new Lifts({
  onNews: (lift) => view.news(lift),
  onTrouble: (error) => healthy(error),
});

function go(lift) {
  lifts.learn(lift);
  location.hash = `#/lifts/${lift.id}`;
}

// ---- which half is seen ----

function route({ focus = true } = {}) {
  const id = LIFT.exec(location.hash)?.[1] ?? null;
  show($("bench"), !id);
  show($("lift"), Boolean(id));
  lifts.mark(id);
  if (id) {
    view.open(id);
  } else {
    view.close();
    document.title = TITLE;
    bench.stage.draw();
  }
  if (focus) {
    $(id ? "lift-title" : "bench-title").focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }
}

// ---- pictures that are dropped or pasted anywhere ----

function pictureIn(transfer) { return [...transfer.files].find((file) => file.type.startsWith("image/")) ?? transfer.files[0]; }

function welcome(file) {
  if (location.hash !== "#/" && LIFT.test(location.hash)) location.hash = "#/";
  bench.take(file);
}

let hovering = 0;
const veil = (by) => { hovering = by === null ? 0 : Math.max(0, hovering + by); show($("veil"), hovering > 0); };
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");

addEventListener("dragenter", (event) => { if (carriesFiles(event)) veil(1); });
addEventListener("dragleave", (event) => { if (carriesFiles(event)) veil(-1); });
addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  veil(null);
  const file = pictureIn(event.dataTransfer);
  if (file) welcome(file);
});
addEventListener("paste", (event) => {
  const file = event.clipboardData && pictureIn(event.clipboardData);
  if (!file) return;
  event.preventDefault();
  welcome(file);
});

// ---- the key ----

let asking = null;

function askForKey(refused) {
  asking ??= new Promise((done) => {
    const dialog = $("key-dialog");
    write($("key-why"), refused ? "The one that was given is not valid." : "It is kept until you close this tab.");
    $("key").value = "";
    let came = false;
    $("key-form").onsubmit = () => { came = true; setKey($("key").value.trim()); };
    dialog.onclose = () => { asking = null; $("key").value = ""; done(came); };
    dialog.showModal();
  });
  return asking;
}

onKeyWanted(askForKey);
$("key-change").addEventListener("click", async () => { if (await askForKey(false)) anew(); });
$("key-forget").addEventListener("click", () => { setKey(null); $("key-dialog").close(); anew(); });

// Another key sees other lifts.
function anew() {
  lifts.empty();
  lifts.refresh();
  route();
}

// ---- questions before something is lost ----

function sure(title, words) {
  return new Promise((done) => {
    const dialog = $("sure");
    write($("sure-title"), title);
    write($("sure-words"), words);
    dialog.returnValue = "no";
    dialog.onclose = () => done(dialog.returnValue === "yes");
    dialog.showModal();
    $("sure-no").focus();
  });
}

// ---- how the service is ----

function healthy(error, words = "") {
  const state = error ? "away" : words ? "unwell" : "ok";
  $("health").dataset.state = state;
  write($("health-words"), error ? inWords(error).title : words || "ready");
}

async function askHealth() {
  try {
    const answer = await fetch("/healthz", { signal: AbortSignal.timeout(15000) });
    const { parts } = await answer.json();
    const wrong = Object.entries(parts ?? {}).filter(([, words]) => words !== "ok").map(([name]) => name);
    healthy(null, wrong.length ? `not well: ${wrong.join(", ")}` : "");
  } catch {
    healthy({ code: "offline" });
  }
}

// ---- the theme ----

function remembered(key) { try { return localStorage.getItem(key); } catch { return null; } }
function remember(key, value) { try { localStorage.setItem(key, value); } catch { /* then it holds until the page is closed */ } }

const savedTheme = remembered("lift3d-theme");
if (savedTheme) document.documentElement.dataset.theme = savedTheme;
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remember("lift3d-theme", root.dataset.theme);
});

// ---- begin ----

async function start() {
  try {
    const choices = await json(CHOICES);
    if (!bench.choices) bench.offer(choices);
    show($("key-change"), choices.asks_for_keys);
    await lifts.refresh();
  } catch (error) {
    trouble($("bench-trouble"), inWords(error));
  }
}

addEventListener("hashchange", () => route());
setInterval(() => { if (!document.hidden) askHealth(); }, HEALTH_MS);
await start();
route({ focus: false });
askHealth();
