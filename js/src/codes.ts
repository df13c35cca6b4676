/**
 * What the end of a connection asks for:
 * retry with backoff, slowly (one second more), soon (the server spreads its clients itself),
 * login (with a new token), or stop, because trying again cannot help.
 */
export type Verdict = 'retry' | 'slowly' | 'soon' | 'login' | 'stop'

/** The verdict on a close code (docs/protocol.md), or on the status of an HTTP response, which is below 1000. */
export function verdict(code: number): Verdict {
  for (const [verdict, codes] of special) if (codes.includes(code)) return verdict
  // The ranges of the Pusher protocol.
  return ranges[Math.floor(code / 100)] ?? 'retry'
}

const special: [Verdict, number[]][] = [
  ['soon', [1001, 1012, 4001]],
  ['slowly', [1009, 1011, 1013, 4429]],
  ['login', [401, 1008, 4401]],
  ['stop', [403, 426, 505, 1002, 1003, 1007, 1010]],
]

const ranges: Record<number, Verdict> = { 40: 'stop', 41: 'slowly', 42: 'soon' }
