import { Client } from "/static/drf_logout/client.js";

// Fifteen minutes. Whoever wants to see the warning sooner asks for it: /spa/?idle=20, in seconds.
const asked = Number(new URLSearchParams(location.search).get("idle")) * 1000;
const idleTimeout = Math.min(asked || Infinity, 15 * 60_000);

export const client = new Client({
  tokens: "cookie",
  idleTimeout,
  idleWarning: Math.min(60_000, idleTimeout / 2),
});
