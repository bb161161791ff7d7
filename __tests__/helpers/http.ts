import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from 'node:http';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Sends one request on a new connection. fetch would not let the caller choose the Host header. */
export async function ask(
  { port }: { port: number },
  path: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false });
  request.end(body === '' ? undefined : body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  // If a body is refused midway, the connection might be reset after the answer.
  request.on('error', () => undefined);
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, body: text };
}

export function basic(user: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

/** The connection of a page to the live view. */
export interface EventStreamReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** All frames received so far. */
  readonly frames: Frame[];
  /** The state after all frames. */
  readonly state: Frame;
  /** Whether the server has closed the connection. */
  readonly ended: boolean;
  /** Stops or resumes reading. */
  pause(): void;
  resume(): void;
  close(): void;
}

/** Sections by name. */
export type Frame = Record<string, unknown>;

export async function openEvents(
  { port }: { port: number },
  headers: Record<string, string> = {},
): Promise<EventStreamReader> {
  const request = httpRequest({ host: '127.0.0.1', port, path: '/events', headers, agent: false });
  request.on('error', () => undefined);
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const frames: Frame[] = [];
  let state: Frame = {};
  let ended = false;
  let rest = '';
  response.setEncoding('utf8').on('data', (text: string) => {
    const events = (rest + text).split('\n\n');
    rest = events.pop()!;
    for (const event of events) {
      const frame = JSON.parse(event.slice('data: '.length)) as Frame;
      frames.push(frame);
      state = { ...state, ...frame };
    }
  });
  response.on('error', () => undefined).on('close', () => (ended = true));
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    frames,
    get state() {
      return state;
    },
    get ended() {
      return ended;
    },
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    close: () => request.destroy(),
  };
}
