import { readFileSync } from 'node:fs';
import { DockerfileParser, type Instruction, type JSONInstruction } from 'dockerfile-ast';
import { parse as parseYaml } from 'yaml';

/** What the files for deployment say, taken apart as far as the tests ask for it. */

export interface ComposeService {
  image: string;
  command?: string[];
  environment?: Record<string, string>;
  healthcheck?: { test: string[] };
  restart?: string;
  stop_grace_period?: string;
  deploy?: { replicas: number };
  depends_on?: Record<string, { condition: string }>;
  ports?: string[];
  volumes?: string[];
}

/** compose.yaml, with `variables` put in place of `${NAME...}`; those that are required and missing are refused. */
export function readCompose(variables: Record<string, string>): Record<string, ComposeService> {
  const text = readFileSync('compose.yaml', 'utf8').replace(
    /\$\{(\w+)(?::([?-])([^}]*))?\}/g,
    (_, name: string, operator: string | undefined, rest: string | undefined) => {
      if (variables[name]) return variables[name];
      if (operator === '-') return rest!;
      throw new Error(`required variable ${name} is missing a value: ${rest}`);
    },
  );
  return (parseYaml(text) as { services: Record<string, ComposeService> }).services;
}

export interface DockerInstruction {
  readonly keyword: string;
  /** Words after it, flags not among them. */
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string>>;
  /** The same as a list, where it is written as one (the exec form). */
  readonly list: readonly string[] | undefined;
}

/** The stages of the Dockerfile: the instructions of each, from its FROM on. */
export function readDockerfile(): DockerInstruction[][] {
  const stages: DockerInstruction[][] = [];
  for (const instruction of DockerfileParser.parse(readFileSync('Dockerfile', 'utf8')).getInstructions()) {
    if (instruction.getKeyword() === 'FROM') stages.push([]);
    stages.at(-1)?.push(describe(instruction));
  }
  return stages;
}

function describe(instruction: Instruction): DockerInstruction {
  const words = instruction.getArguments().map((argument) => argument.getValue());
  const flags = (instruction as Partial<JSONInstruction>).getFlags?.call(instruction) ?? [];
  // The parser does not look into a HEALTHCHECK.
  const text = words.slice(instruction.getKeyword() === 'HEALTHCHECK' ? 1 : 0).join(' ');
  return {
    keyword: instruction.getKeyword(),
    words,
    flags: Object.fromEntries(flags.map((flag) => [flag.getName(), flag.getValue() ?? ''])),
    list: text.startsWith('[') ? (JSON.parse(text) as string[]) : undefined,
  };
}

/** A file of systemd's: section, then name, then the values given to it, in order. */
export function readUnit(file: string): Record<string, Record<string, string[]>> {
  const unit: Record<string, Record<string, string[]>> = {};
  let section: Record<string, string[]> = {};
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const header = /^\[(\w+)\]$/.exec(line);
    const setting = /^(\w+)=(.*)$/.exec(line);
    if (header) section = unit[header[1]!] = {};
    else if (setting) (section[setting[1]!] ??= []).push(setting[2]!);
    else if (line !== '' && !line.startsWith('#')) throw new Error(`neither section nor setting: ${line}`);
  }
  return unit;
}
