// Each line of a web server's access log becomes a message; the handler parses it into fields.
//
//   FILE=access.log TASK=examples/accessLog.mjs npm start
//
// The log is in Apache's combined format:
//   host identity user [time] "request" status bytes "referer" "user agent"
// A line of another form fails, and `npm start -- getErrors` shows it.
//
// Several logs, FILE=a.log,b.log, are a source each, as in lines.mjs.

export { generate, groupCommits, sources } from './lines.mjs';

const QUOTED = String.raw`"((?:[^"\\]|\\.)*)"`;
const COMBINED = new RegExp(
  String.raw`^(\S+) (\S+) (.+?) \[([^\]]+)\] ${QUOTED} (\d{3}) (\d+|-) ${QUOTED} ${QUOTED}\s*$`,
);

export function handle({ number, text, source }, { logger }) {
  const fields = parse(text);
  logger.debug(`line ${number}`, source === undefined ? fields : { ...fields, source });
}

export function parse(line) {
  const match = COMBINED.exec(line);
  if (match === null) throw new Error(`not a line of Apache's combined log format: ${line}`);
  const [, host, identity, user, time, request, status, bytes, referer, userAgent] = match;
  // A path can contain spaces if the client sent them; a missing request ("-") has only a method.
  const [, method, path, protocol] = /^(\S*)(?: (.*?))?(?: (HTTP\/\S+))?$/s.exec(request);
  return {
    host,
    identity: absent(identity),
    user: absent(user),
    time,
    method: absent(method),
    path,
    protocol,
    status: Number(status),
    bytes: bytes === '-' ? 0 : Number(bytes),
    referer: absent(referer),
    userAgent: absent(userAgent),
  };
}

const absent = (field) => (field === '-' ? undefined : field);
