// A client that was generated from the description: every call is typed by it, and made with fetch.

import createClient from "openapi-fetch";
import { readFile } from "node:fs/promises";
import type { components, paths } from "./framesift.js";

const [address, film, token] = process.argv.slice(2);
const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
const client = createClient<paths>({ baseUrl: `http://${address}`, headers });
const id = "node/a b & ü.mp4";

function got<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.error || answer.data === undefined) throw new Error(answer.error?.detail);
  return answer.data;
}

const bytes = new Uint8Array(await readFile(film));
const indexed = got(
  await client.POST("/v1/videos", {
    params: { query: { id, metadata: JSON.stringify({ channel: "news" }) } },
    body: bytes as never,
    bodySerializer: (body: unknown) => body as BodyInit,
    headers: { "content-type": "application/octet-stream" },
  }),
);
const form = new FormData();
form.append("video", new Blob([bytes]), "one.mp4");
form.append("id", `${id} again`);
const again = got(await client.POST("/v1/videos", { body: form as never, bodySerializer: (body: unknown) => body as BodyInit }));
await new Promise((resolve) => setTimeout(resolve, 3000));
const found = got(await client.POST("/v1/search", { body: { text: "a red circle", top: 5 } }));
const known = got(await client.GET("/v1/video", { params: { query: { id } } }));
const listed = got(await client.GET("/v1/videos", { params: { query: { top: 1000 } } }));
const changed = got(
  await client.PATCH("/v1/video", { params: { query: { id, merge: true } }, body: { year: 2026 } }),
);
const after = got(await client.GET("/v1/video", { params: { query: { id } } }));
for (const gone of [id, `${id} again`]) got(await client.DELETE("/v1/video", { params: { query: { id: gone } } }));
const absent = await client.GET("/v1/video", { params: { query: { id } } });
const wrong = await client.POST("/v1/search", { body: { text: "" } });
const moments: (number | null)[] = found.results[0].hits.map((hit) => hit.moment);

console.log(
  JSON.stringify({
    indexed,
    again,
    hits: found.results[0].hits.map((hit) => hit.id),
    moments,
    known,
    listed: listed.videos.map((video) => video.id),
    changed,
    after,
    absent: [absent.response.status, absent.error?.code],
    wrong: [wrong.response.status, wrong.error?.code],
  }),
);
