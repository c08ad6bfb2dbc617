import { fileURLToPath } from "node:url";

// What the Django app brings along: client.js and the style of its pages, from where they are.
const files = fileURLToPath(new URL("../../accounts/static/drf_logout", import.meta.url));

export default {
  base: "/static/spa/",
  resolve: { alias: { "/static/drf_logout": files } },
  esbuild: { jsx: "automatic" },
  // `npm run dev`, beside `python3 -m authproject`
  server: { fs: { allow: [".", files] }, proxy: { "/api": "http://127.0.0.1:8000" } },
};
