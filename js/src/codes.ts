/**
 * What the end of a connection asks for:
 * retry with backoff, slowly (one second more), soon (the server spreads its clients itself),
 * login (with a new token), or stop, because trying again cannot help.
 */
export type Verdict = 'retry' | 'slowly' | 'soon' | 'login' | 'stop'

/** The verdict on a close code (docs/protocol.md), or on the status of an HTTP response, which is below 1000. */
export function verdict(code: number): Verdict {
  for (const key of [code, Math.floor(code / 100)]) for (const [verdict, codes] of verdicts) if (codes.includes(key)) return verdict
  return 'retry'
}

/** By code, and by hundreds for those of the Pusher protocol. */
const verdicts: [Verdict, number[]][] = [
  ['soon', [1001, 1012, 4001, 42]],
  ['slowly', [1009, 1011, 1013, 4429, 41]],
  ['login', [401, 1008, 4401]],
  ['stop', [403, 426, 505, 1002, 1003, 1007, 1010, 40]],
]
