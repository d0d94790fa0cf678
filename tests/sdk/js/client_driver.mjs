// Controls the package of clients/js with the globals of a platform: node, browser or react-native.
import { clientCommands } from "./client_commands.mjs";
import { serve } from "./command_server.mjs";
import { enter } from "./platforms.mjs";

const platform = process.argv[2];
await enter(platform);
await serve({
  ...clientCommands,

  /** What the platform has: the package must not need the rest. */
  platform: () => ({
    "AbortSignal.timeout": typeof AbortSignal.timeout,
    "signal.reason": "reason" in new AbortController().signal,
    "native fetch": fetch.toString().includes("[native code]"),
  }),
});
