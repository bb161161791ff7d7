import { BlockList, isIP } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * Whether a host name or address, without a port or brackets, always means this machine. The names are `localhost` and
 * its subdomains: RFC 6761 reserves them for the loopback interface, so no DNS server decides what they mean.
 */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return /^([a-z0-9_-]+\.)*localhost$/i.test(host);
  // A zone such as %eth0 is not part of the address.
  return LOOPBACK.check(host.split('%', 1)[0]!, version === 6 ? 'ipv6' : 'ipv4');
}
