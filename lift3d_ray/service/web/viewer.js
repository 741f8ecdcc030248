// The model, to be turned around: <model-viewer>, which is large and so comes only when there is something to show.

import { objectUrl } from "./api.js";
import { make, still } from "./dom.js";

const LIBRARY = "/web/model-viewer.min.js";
// The camera is the one that drew the preview.
const CAMERA = {
  "camera-orbit": "0deg 75deg 3.2m", "camera-target": "0m 0m 0m", "field-of-view": "40deg",
  "min-camera-orbit": "auto 5deg 1.4m", "max-camera-orbit": "auto 175deg 6m",
  "min-field-of-view": "40deg", "max-field-of-view": "40deg",
};

let loading = null;

function library() {
  loading ??= new Promise((done, failed) => {
    const script = make("script", { src: LIBRARY });
    script.addEventListener("load", () => customElements.whenDefined("model-viewer").then(done));
    script.addEventListener("error", () => { loading = null; failed(new Error("the viewer could not be loaded")); });
    document.head.append(script);
  });
  return loading;
}

// Shows a model in a box; ``wanted`` says whether anybody still wants it once it is there.
export async function showModel(box, path, alt, wanted) {
  box.replaceChildren(make("p", { class: "hint" }, "Loading the model ..."));
  try {
    const [address] = await Promise.all([objectUrl(path), library()]);
    if (!wanted()) return;
    const viewer = make("model-viewer", {
      alt, src: address, "camera-controls": true, "touch-action": "pan-y", "interaction-prompt": "none",
      loading: "eager", "auto-rotate-delay": "0", "rotation-per-second": "20deg",
      "auto-rotate": !still(), ...CAMERA,
    });
    viewer.addEventListener("load", () => { viewer.dataset.state = "loaded"; });
    viewer.addEventListener("error", () => unshown(box, "This browser cannot show the model; the files are all there."));
    viewer.addEventListener("camera-change", (event) => {
      // Who takes it into their hand does not want it to turn by itself.
      if (event.detail.source === "user-interaction") viewer.removeAttribute("auto-rotate");
    });
    box.replaceChildren(viewer);
  } catch {
    if (wanted()) unshown(box, "The model could not be loaded; try the downloads.");
  }
}

function unshown(box, words) { box.replaceChildren(make("p", { class: "hint" }, words)); }
