// What processes cost, read from Linux's /proc.
const { readFileSync } = require('node:fs');

/**
 * Seconds of processor time that these processes have used, in steps of 10 ms.
 *
 * @param {...(number | undefined)} pids
 */
function cpuSeconds(...pids) {
  const ticks = pids.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, n) => sum + n, 0) / 100;
}

/**
 * Resident memory in megabytes.
 *
 * @param {number | undefined} pid
 */
function residentMb(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

module.exports = { cpuSeconds, residentMb };
