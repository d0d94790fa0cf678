// A clock that stands still while a request is under way, and else jumps to the next timer of this process.

const real = { setTimeout, clearTimeout, fetch };
const realNow = Date.now;
const timers = new Map();
let passed, requests, underWay, last = 0;

/** Stop the clock for the timers that are set from now on. */
export function stopClock() {
  const start = realNow();
  [passed, requests, underWay] = [0, [], 0];
  Date.now = () => start + passed;
  globalThis.setTimeout = (run, delay = 0, ...parameters) => {
    timers.set(--last, { run: () => run(...parameters), at: passed + delay });
    return last;
  };
  globalThis.clearTimeout = (timer) => timers.delete(timer) || real.clearTimeout(timer);
  globalThis.fetch = async (...request) => {
    underWay++;
    requests.push(passed);
    return real.fetch(...request).finally(() => underWay--);
  };
}

/** Let `time` milliseconds pass in no time, and return the pauses between the requests in them. */
export async function passTime(time) {
  for (const end = passed + time; passed < end; ) {
    await new Promise((resolve) => setImmediate(resolve));
    if (underWay || !timers.size) continue;
    const [timer, { run, at }] = [...timers].reduce((first, next) => (next[1].at < first[1].at ? next : first));
    timers.delete(timer);
    passed = Math.max(passed, at);
    run();
  }
  return requests.slice(1).map((at, index) => at - requests[index]);
}

/** Let the clock run again. What waits for a timer is due. */
export function startClock() {
  Object.assign(globalThis, real);
  Date.now = realNow;
  for (const { run } of timers.values()) setTimeout(run, 0);
  timers.clear();
}
