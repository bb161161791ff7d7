import type { RoleReport } from '../membership/member';
import type { GeneratorDuty } from './generator';
import type { RoleElections } from './roleElections';

/** Maximum length of a failure's text in a report, in characters. */
const MAX_TEXT = 2000;

/** Describes the roles that this instance leads, and the roles whose work has failed. */
export function describeRoles(
  { led, failures }: Pick<RoleElections, 'led' | 'failures'>,
  generators: readonly {
    readonly role: { readonly id: string };
    readonly duty: Pick<GeneratorDuty, 'state'>;
  }[],
): { roles?: RoleReport[] } {
  const states = new Map(generators.map(({ role, duty }) => [role.id, duty.state]));
  const failed = new Map(failures.map(({ role, failure }) => [role.id, failure]));
  const leading = led.map(({ role, term }): RoleReport => {
    return { role: role.id, term: term.number, state: states.get(role.id) ?? 'leading' };
  });
  const waiting = [...failed.keys()]
    .filter((id) => !leading.some(({ role }) => role === id))
    .map((role): RoleReport => ({ role, state: 'failed' }));
  const roles = [...leading, ...waiting].map((report) => {
    const failure = failed.get(report.role);
    if (failure === undefined) return report;
    const { name, message, stack = '' } = failure.error;
    const text = { name, message: message.slice(0, MAX_TEXT), stack: stack.slice(0, MAX_TEXT) };
    return { ...report, failure: { ...text, since: failure.since, retryAt: failure.retryAt } };
  });
  return roles.length === 0 ? {} : { roles };
}
