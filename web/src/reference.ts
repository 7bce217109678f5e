/** References for writes: made once, kept until the server has answered, so that a retry repeats the same one. */

import { forget, recall, remember } from './storage'

/** A random UUID; pages opened over plain HTTP on a local network have no crypto.randomUUID. */
export function newReference(source: Pick<Crypto, 'getRandomValues'> & Partial<Crypto> = crypto): string {
  if (typeof source.randomUUID === 'function') return source.randomUUID()
  const bytes = source.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Of one's own check-in, or of one by a code on site: two bodies, so two references. */
export type Kind = 'self' | 'onsite_qr'

const key = (member: number, sitting: number, kind: Kind): string =>
  `chunshui.check-in.${member}.${sitting}${kind === 'self' ? '' : `.${kind}`}`

/** The reference of an unanswered check-in, if there is one. */
export const pendingReference = (member: number, sitting: number, kind: Kind = 'self'): string | null =>
  recall(key(member, sitting, kind))

/** The unanswered reference again, or a new one, kept from now on. */
export function referenceFor(member: number, sitting: number, kind: Kind = 'self'): string {
  const reference = pendingReference(member, sitting, kind) ?? newReference()
  remember(key(member, sitting, kind), reference)
  return reference
}

/** The server has answered: the next check-in is another one. */
export const settleReference = (member: number, sitting: number, kind: Kind = 'self'): void =>
  forget(key(member, sitting, kind))
