// A clock that stands still while a request is under way, and else jumps to the next timer of this process.

const real = { setTimeout, clearTimeout, fetch };
const { now } = Date;
const timers = new Map();
let passed, requests, underWay;

/** Stop the clock for the timers that are set from now on. */
export function stopClock() {
  const start = Date.now();
  [passed, requests, underWay] = [0, [], 0];
  Date.now = () => start + passed;
  globalThis.setTimeout = (run, delay = 0, ...parameters) => {
    const timer = { ref: () => timer, unref: () => timer, refresh: () => timer };
    timers.set(timer, { run: () => run(...parameters), at: passed + delay });
    return timer;
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
  for (const end = passed + time; ; ) {
    await new Promise((resolve) => setImmediate(resolve));
    if (underWay || !timers.size) continue;
    if (passed >= end) return requests.slice(1).map((at, index) => at - requests[index]);
    const [timer, { run, at }] = [...timers].reduce((first, next) => (next[1].at < first[1].at ? next : first));
    timers.delete(timer);
    passed = Math.max(passed, at);
    run();
  }
}

/** Let the clock run again. What waits for a timer is due. */
export function startClock() {
  Object.assign(globalThis, real);
  Date.now = now;
  for (const { run } of timers.values()) setTimeout(run, 0);
  timers.clear();
}
