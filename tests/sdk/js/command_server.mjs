// Runs the commands of a test.
//
// Reads one command per line, {"id", "do", "with"}, and writes one result per line, {"id", "value"} or
// {"id", "error"}. Commands run concurrently, so that a test can act while one waits.
import { createInterface } from "node:readline";

export async function serve(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, do: name, with: parameters } = JSON.parse(line);
    Promise.resolve(parameters)
      .then((given) => commands[name](given))
      .then(
        (value = null) => ({ id, value }),
        (error) => ({
          id,
          error: {
            message: String(error?.message ?? error),
            code: error?.code,
            kind: error?.kind,
            retry_after: error?.retryAfter,
          },
        }),
      )
      .then((result) => process.stdout.write(`${JSON.stringify(result)}\n`));
  }
  process.exit();
}
