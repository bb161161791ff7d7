// Each line of the text file FILE becomes a message { number, text }, number from 1.
//
//   FILE=notes.txt TASK=examples/lines.mjs npm start
//
// Line ends are \n or \r\n and are cut. The file is read as a stream and never held as a whole. The cursor is the
// place in the file after the last committed line, so another generator resumes right there.
//
// Several files, FILE=a.log,b.log, are a source each, with its own generator and cursor. Their messages are
// { number, text, source }. sources/names.mjs belongs to it.
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { env } from 'node:process';
import { entryOf, nameSources, sourcesOf } from './sources/names.mjs';

if (!env.FILE) throw new Error('FILE is not set, expected the path of a text file');

export const sources = sourcesOf(namedFiles());

const LINES_PER_BATCH = 500;
const BYTES_PER_BATCH = 1_000_000;
const NEWLINE = 10;
const RETURN = 13;

/** The file does not change: reading a batch does not depend on whether the previous one has been committed. */
export const groupCommits = true;

export async function* generate({ cursor = { number: 0, offset: 0 }, source, signal }) {
  const file = entryOf(namedFiles(), source);
  let { number, offset } = cursor;
  if (!Number.isInteger(number) || !Number.isInteger(offset)) {
    const found = JSON.stringify(cursor);
    throw new Error(
      `the cursor ${found} is another task's, expected { number, offset }: give this one a NAMESPACE`,
    );
  }
  let messages = [];
  let bytes = 0;
  for await (const { text, length } of linesFrom(file, offset, signal)) {
    number += 1;
    offset += length;
    bytes += length;
    messages.push(source === undefined ? { number, text } : { number, text, source });
    if (messages.length >= LINES_PER_BATCH || bytes >= BYTES_PER_BATCH) {
      yield { messages, cursor: { number, offset } };
      messages = [];
      bytes = 0;
    }
  }
  if (messages.length > 0) yield { messages, cursor: { number, offset } };
}

export function handle({ number, text, source }, { logger }) {
  logger.info(`line ${number}`, source === undefined ? { text } : { text, source });
}

/** The files, by the name of their source: the name of the file without its directories. */
function namedFiles() {
  const files = env.FILE.split(',');
  const trimmed = files.length === 1 ? files : files.map((file) => file.trim());
  return nameSources('FILE', trimmed, (file) => basename(file));
}

/** Every line from a byte offset on: its text, and its length in bytes including the line end. */
async function* linesFrom(file, start, signal) {
  let parts = [];
  for await (const chunk of createReadStream(file, { start, signal })) {
    let from = 0;
    // Split as bytes: a UTF-8 character can span two chunks, but no byte of it is a newline.
    for (let end; (end = chunk.indexOf(NEWLINE, from)) !== -1; from = end + 1) {
      parts.push(chunk.subarray(from, end + 1));
      yield toLine(parts);
      parts = [];
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
  if (parts.length > 0) yield toLine(parts);
}

function toLine(parts) {
  const line = parts.length === 1 ? parts[0] : Buffer.concat(parts);
  let end = line.length;
  if (line[end - 1] === NEWLINE) {
    end -= 1;
    if (line[end - 1] === RETURN) end -= 1;
  }
  return { text: line.toString('utf8', 0, end), length: line.length };
}
