// Masks of the API -> layers to draw. A mask is a black and white PNG in a data: address.

const TINTS = [[184, 64, 26], [30, 110, 160], [60, 130, 60], [150, 70, 150], [190, 140, 20], [20, 130, 130]];
const VEIL = [20, 18, 16, 150];
// White around the edge, so that it is seen on every colour.
const HALO = [255, 255, 255, 255];
const PREFIX = "data:image/png;base64,";

// What is drawn over the picture: all but the subject under a veil, its edge in colour.
export async function subjectLayer(mask) {
  return layer(await pixels(mask), { inside: null, outside: VEIL, edge: [...TINTS[0], 255] });
}

// What the mouse hovers over, or one thing among several: a tint with an edge.
export async function tintLayer(mask, number = 0) {
  const tint = TINTS[number % TINTS.length];
  return layer(await pixels(mask), { inside: [...tint, 90], outside: null, edge: [...tint, 255] });
}

async function pixels(mask) {
  if (!mask.png.startsWith(PREFIX)) throw new TypeError("a mask is a PNG");
  const bytes = Uint8Array.from(atob(mask.png.slice(PREFIX.length)), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const levels = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height);
  for (let at = 0; at < data.length; at += 1) data[at] = levels[4 * at] > 127 ? 1 : 0;
  return { data, width, height };
}

function layer({ data, width, height }, colours) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  // About two pixels of the page, whatever the picture's size.
  const reach = Math.max(1, Math.round(Math.max(width, height) / 300));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = y * width + x;
      const within = data[at];
      const rgba = nearOther(data, width, height, x, y, reach, within) ? (within ? colours.edge : HALO) : within ? colours.inside : colours.outside;
      if (rgba) image.data.set(rgba, 4 * at);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function nearOther(data, width, height, x, y, reach, within) {
  const other = (u, v) => u >= 0 && v >= 0 && u < width && v < height && data[v * width + u] !== within;
  return other(x - reach, y) || other(x + reach, y) || other(x, y - reach) || other(x, y + reach);
}
