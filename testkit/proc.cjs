// Resource usage of processes, from /proc on Linux.
const { readFileSync } = require('node:fs');

/**
 * Returns the CPU time that these processes have used in seconds, in steps of 10 ms.
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
 * Returns resident memory in megabytes.
 *
 * @param {number | undefined} pid
 */
function residentMb(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

module.exports = { cpuSeconds, residentMb };
