// Prints what the Khronos glTF validator says of each GLB named on the command line, as one JSON object.
"use strict";
const fs = require("node:fs");
const validator = require("gltf-validator");

const judged = process.argv.slice(2).map((path) =>
  validator.validateBytes(new Uint8Array(fs.readFileSync(path))).then((report) => [path, report.issues]));
Promise.all(judged).then((entries) => process.stdout.write(JSON.stringify(Object.fromEntries(entries))));
