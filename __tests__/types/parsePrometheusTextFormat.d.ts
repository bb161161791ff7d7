declare module 'parse-prometheus-text-format' {
  /** Throws where the text is not in that format. */
  export default function parsePrometheusTextFormat(text: string): unknown;
}
