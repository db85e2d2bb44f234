// How much processor time something takes: unlike the time on the clock it does not depend on what else the machine is doing.

/** Milliseconds of processor time that this process has spent. */
export function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
