// What the bench asks of each peer before it measures: users with one password, and refresh tokens.
export const seedPath = "/bench/seed";

export async function readJson(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

export function respond(response, content) {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(content));
}

export function listen(server) {
  const [host, port] = process.env.TOKENSVC_BIND.split(":");
  server.keepAliveTimeout = 75_000; // the load keeps its connections
  server.listen(Number(port), host);
}
