// Asks the instance of this container or machine how it is, and ends with 0 if it is well, else with 1. In place of
// curl, which small images lack.
//
//   node deploy/healthcheck.mjs /healthz
import process, { env } from 'node:process';

try {
  process.loadEnvFile();
} catch {
  // There is none. The instance reads it as well, if there is.
}
const path = process.argv[2] ?? '/healthz';

if (/^(off|false|no|0)$/i.test(env.BOARD ?? '')) {
  console.log('BOARD is off: there is nobody to ask');
} else {
  // Where all addresses are listened on, loopback is one of them.
  const host =
    { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' }[env.BOARD_HOST ?? ''] ?? env.BOARD_HOST;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${env.BOARD_PORT || 3000}${path}`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
    console.log(`${url} answers ${response.status}: ${(await response.text()).slice(0, 1000)}`);
    if (!response.ok) process.exitCode = 1;
  } catch (error) {
    console.log(`${url} does not answer: ${error.cause?.message ?? error.message}`);
    process.exitCode = 1;
  }
}
