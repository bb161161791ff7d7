export { waitFor } from '../../testkit/waitFor.cjs';
