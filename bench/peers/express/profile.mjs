// Profiles the server of `node --import ./profile.mjs server.js`: SIGUSR2 starts, SIGTERM ends.
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";

const session = new Session();
session.connect();

process.on("SIGUSR2", () => {
  session.post("Profiler.enable");
  session.post("Profiler.start");
});

process.on("SIGTERM", () => {
  session.post("Profiler.stop", (_, { profile }) => {
    writeFileSync(process.env.BENCH_PROFILE, JSON.stringify(profile));
    process.exit();
  });
});
