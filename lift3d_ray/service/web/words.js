// What the service says in short names, in words for people.

export const STAGES = [
  ["segment", "Finding the thing"],
  ["caption", "Putting it into words"],
  ["depth", "Guessing its depth"],
  ["invert", "Learning what it looks like"],
  ["pose", "Finding where the camera stood"],
  ["coarse", "Guessing a first shape"],
  ["optimize", "Shaping all sides"],
  ["mesh", "Making the surface"],
  ["refine", "Refining the look"],
  ["transfer", "Carrying the colours over"],
  ["export", "Writing the files"],
];

export const STATES = {
  queued: "Waiting", running: "Being lifted", succeeded: "Lifted", failed: "Failed", canceled: "Canceled",
};

export const QUALITIES = {
  draft: ["Draft", "A quick look: coarse, in the shortest time."],
  standard: ["Standard", "What most pictures deserve."],
  fine: ["Fine", "The sharpest shape; takes longest."],
};

export const RECIPES = {
  "make-it-3d": "The picture leads, and the back is filled in after it.",
  "anything-3d": "Words and depth lead: for things seen from an odd side.",
};

const FAULTS = {
  "no-subject": ["Nothing in the picture could be picked out", "Point at the thing, draw a box around it, or use a picture in which it is larger."],
  "unreadable-photo": ["This file is no picture that can be read", "Save it as PNG or JPEG and try again."],
  "photo-too-large": ["The picture is too large", "Make it smaller and try again."],
  "photo-too-small": ["The picture is too small", "Use one with more pixels."],
  "too-large": ["The file is too large for this service", "Make the picture smaller and try again."],
  "address-refused": ["The picture is not fetched from there", "Save it and send the file itself."],
  "fetch-failed": ["The picture could not be fetched", "Save it and send the file itself."],
  "optimization-failed": ["The shape would not settle", "Lift it again with another seed, or select the thing more tightly."],
  "worker-lost": ["The machine was lost at it, several times", "Lift it again; if that fails too, tell whoever runs the service."],
  timeout: ["It took longer than this service allows", "Lift it again in a lower quality."],
  "too-much": ["The service has all the work it can take", "Try again in a while."],
  closing: ["The service is being shut down", "Try again once it is back; what it accepted is kept."],
  database: ["The service cannot reach its memory", "Try again in a moment."],
  cluster: ["The service lacks machines for this now", "Try again in a while."],
  bundle: ["The models do not answer as they should", "Tell whoever runs the service."],
  prior: ["The models do not answer as they should", "Lift it again; if that fails too, tell whoever runs the service."],
  export: ["The result could not be written", "Tell whoever runs the service: its disk may be full."],
  internal: ["A defect of the service", "Lift it again; if that fails too, tell whoever runs the service what stands below."],
  "not-allowed": ["The service does not know this API key", "Enter one that is valid."],
  "not-found": ["This lift is not here", "It was deleted, or it belongs to another key."],
  "local-only": ["The service answers its own machine only", "Open this page there, or have the service ask for API keys."],
  offline: ["The service does not answer", "This page goes on as soon as it is back; what was accepted is kept."],
};

// An error of the API -> what to show.
export function inWords(error) {
  const [title, advice] = FAULTS[error.code] ?? ["The service would not do that", ""];
  return { title, advice, detail: error.message ?? "" };
}

export function stageWords(stage) {
  const [name, numbers] = (stage || "").split(" ");
  const known = STAGES.find(([key]) => key === name)?.[1] ?? (name ? `Working (${name})` : "Beginning");
  return numbers ? `${known}, seed ${numbers.replace("/", " of ")}` : known;
}

export function duration(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 90) return `${Math.round(seconds / 5) * 5} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${Math.round(seconds / 3600)} hours`;
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function moment(text) {
  const time = new Date(text);
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export const percent = (part) => `${Math.round(part * 100)} %`;
