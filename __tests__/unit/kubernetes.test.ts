import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Service } from 'kubernetes-models/v1/Service';
import ts from 'typescript';
import { parseAllDocuments } from 'yaml';
import { resolveConfig } from '../../src/configuration/config';

/*
 * Checks deploy/kubernetes.yaml against the schemas of Kubernetes and the Prometheus operator. The schemas check values
 * and accept unknown names; the types generated from them know every name.
 */

const FILE = 'deploy/kubernetes.yaml';
/** What a shutdown takes beyond SHUTDOWN_TIMEOUT_MS: the bounded steps before and after the active messages. */
const BEYOND_MS = 5000;

const MODELS = { Deployment, NetworkPolicy, PodDisruptionBudget, ConfigMap, Service, ServiceMonitor };
const MODULES: Record<string, string> = {
  Deployment: 'kubernetes-models/apps/v1/Deployment',
  NetworkPolicy: 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
  PodDisruptionBudget: 'kubernetes-models/policy/v1/PodDisruptionBudget',
  ConfigMap: 'kubernetes-models/v1/ConfigMap',
  Service: 'kubernetes-models/v1/Service',
  ServiceMonitor: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor',
};

interface Manifest {
  apiVersion: string;
  kind: keyof typeof MODELS;
  metadata: { name: string };
}

const documents = parseAllDocuments(readFileSync(FILE, 'utf8'));
const manifests = documents.map((document) => document.toJS() as Manifest);
const find = <Model>(kind: keyof typeof MODELS) =>
  manifests.find((each) => each.kind === kind) as unknown as Model;

it('deploy/kubernetes.yaml has one document of each required kind', () => {
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  expect(manifests.map(({ kind }) => kind).sort()).toEqual(Object.keys(MODELS).sort());
});

describe('the published schemas', () => {
  it.each(manifests)('accept the $kind', (manifest) => {
    const model = new MODELS[manifest.kind](manifest as never);
    expect(() => model.validate()).not.toThrow();
    expect([model.apiVersion, model.kind]).toEqual([manifest.apiVersion, manifest.kind]);
  });

  it('know every field name in it', () => {
    expect(unknownNames(manifests)).toEqual([]);
  });

  it('detect errors', () => {
    const wrong = structuredClone(find<{ spec: Record<string, unknown> } & Manifest>('Deployment'));
    wrong.spec['replicas'] = 'three';
    expect(() => new Deployment(wrong as never).validate()).toThrow('replicas must be integer');
    wrong.spec['replicas'] = 3;
    wrong.spec['minReadySecond'] = 5;
    expect(unknownNames([wrong])).toEqual([expect.stringContaining('minReadySecond')]);
  });
});

describe('the Deployment', () => {
  const deployment = find<Deployment>('Deployment');
  const pod = deployment.spec!.template.spec!;
  const container = pod.containers[0]!;
  const settings = find<ConfigMap>('ConfigMap').data!;

  it('sets existing variables to values that are valid together with the Secret', () => {
    const known = readFileSync('.env.example', 'utf8');
    expect(Object.keys(settings).filter((name) => !known.includes(`# ${name}=`))).toEqual([]);
    const secret = { REDISURL: 'redis://redis.example', BOARD_PASSWORD: 'secret' };
    const config = resolveConfig({ ...settings, ...secret });
    expect(config.board).toMatchObject({
      on: true,
      host: '0.0.0.0',
      port: container.ports![0]!.containerPort,
    });
  });

  it('allows enough time for a shutdown', () => {
    const { shutdownTimeoutMs } = resolveConfig({ ...settings, BOARD_PASSWORD: 'secret' });
    expect(pod.terminationGracePeriodSeconds! * 1000).toBeGreaterThanOrEqual(shutdownTimeoutMs + BEYOND_MS);
  });

  it('starts a Pod of the new version before it stops one of the old', () => {
    expect(deployment.spec!.replicas).toBe(3);
    expect(deployment.spec!.strategy!.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
    expect(find<PodDisruptionBudget>('PodDisruptionBudget').spec!.maxUnavailable).toBe(1);
  });

  it('runs as in the image: without root and with a read-only file system', () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 });
    expect(container.securityContext).toMatchObject({
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('probes health and readiness on paths that need no password', () => {
    expect(container.livenessProbe!.httpGet).toEqual({ path: '/healthz', port: 'board' });
    expect(container.readinessProbe!.httpGet).toEqual({ path: '/readyz', port: 'board' });
  });

  it('is matched by every selector', () => {
    const labels = deployment.spec!.template.metadata!.labels!;
    const selectors = [
      deployment.spec!.selector.matchLabels,
      find<PodDisruptionBudget>('PodDisruptionBudget').spec!.selector!.matchLabels,
      find<NetworkPolicy>('NetworkPolicy').spec!.podSelector.matchLabels,
      find<Service>('Service').spec!.selector,
      find<ServiceMonitor>('ServiceMonitor').spec.selector.matchLabels,
      pod.affinity!.podAntiAffinity!.preferredDuringSchedulingIgnoredDuringExecution![0]!.podAffinityTerm
        .labelSelector!.matchLabels,
    ];
    for (const selector of selectors) expect(selector).toEqual(labels);
  });
});

/** Compiles the manifests as literals of their types, which refuse unknown names. */
function unknownNames(all: readonly Manifest[]): string[] {
  const code = all
    .map(
      (manifest, index) =>
        `import { I${manifest.kind} as T${index} } from '${MODULES[manifest.kind]}';\n` +
        `export const m${index}: T${index} = ${JSON.stringify(manifest)};`,
    )
    .join('\n');
  const file = resolve('manifests.ts');
  const options: ts.CompilerOptions = {
    ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true },
    ...{ noEmit: true, skipLibCheck: true, types: [], noLib: false, lib: ['lib.es2022.d.ts'] },
  };
  const host = ts.createCompilerHost(options);
  const program = ts.createProgram([file], options, {
    ...host,
    fileExists: (name) => name === file || host.fileExists(name),
    readFile: (name) => (name === file ? code : host.readFile(name)),
    getSourceFile: (name, target) =>
      name === file ? ts.createSourceFile(name, code, target, true) : host.getSourceFile(name, target),
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}
