import { readFileSync } from 'node:fs';
import { DockerfileParser, type Instruction, type JSONInstruction } from 'dockerfile-ast';
import { parse as parseYaml } from 'yaml';

/** Parses the deployment files as far as the tests need. */

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

/** compose.yaml with `variables` substituted for `${NAME...}`; throws if a required one is missing. */
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
  /** The words after the instruction, without flags. */
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string>>;
  /** The arguments as a list, if the instruction has the exec form. */
  readonly list: readonly string[] | undefined;
}

/** Returns the instructions of each stage of the Dockerfile, starting with its FROM. */
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
  // The parser does not parse a HEALTHCHECK.
  const text = words.slice(instruction.getKeyword() === 'HEALTHCHECK' ? 1 : 0).join(' ');
  return {
    keyword: instruction.getKeyword(),
    words,
    flags: Object.fromEntries(flags.map((flag) => [flag.getName(), flag.getValue() ?? ''])),
    list: text.startsWith('[') ? (JSON.parse(text) as string[]) : undefined,
  };
}

/** A systemd unit: values in order, by section and name. */
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
