"use strict";
// The scripts of the report page, checked by `npx --yes eslint@9 --max-warnings 0 lightning_pepr/report/assets`.
const { realpathSync } = require("node:fs");
const { createRequire } = require("node:module");

// The recommended rules come with eslint itself, which npx keeps elsewhere.
const { configs } = createRequire(realpathSync(process.argv[1]))("@eslint/js");

const browser = [
  "Blob", "CSS", "DecompressionStream", "Node", "Response", "atob", "document", "fetch", "performance", "window",
];
// Each script sees those before it: page.py puts them into the page in this order.
const scripts = { model: "Model", charts: "Charts", tables: "Tables", profile: "Profile", controls: "Controls", start: "" };
const names = Object.values(scripts).filter(Boolean);

module.exports = Object.entries(scripts).map(([file, own], place) => ({
  ...configs.recommended,
  files: [`**/assets/${file}.js`],
  languageOptions: {
    sourceType: "script",
    globals: Object.fromEntries([...browser, "Plotly", ...names.slice(0, place)].map((name) => [name, "readonly"])),
  },
  rules: {
    ...configs.recommended.rules,
    "no-unused-vars": ["error", { varsIgnorePattern: own ? `^${own}$` : undefined }],
    eqeqeq: "error",
    "no-var": "error",
    "prefer-const": "error",
  },
}));
