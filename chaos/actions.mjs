// What operators do to a group while it runs. Each action takes effect like a fault, but is no excuse for anything:
// `{ kind, weight, act(world, draw) }`. There are none yet: rewind, pause, resume and handover belong here.
export const ACTIONS = [];
