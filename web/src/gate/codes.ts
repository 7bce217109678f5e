/**
 * The codes of a gate, as service/checkin/onsite/codes.py reads them: made here, with a key that can be used on this
 * device and not taken from it, so that a wall goes on without a network.
 */

const VERSION = 1
const MAC_BYTES = 16
const BODY_BYTES = 29

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_')

/** The key as the browser keeps it: nobody reads it from there. */
export function importKey(text: string): Promise<CryptoKey> {
  const raw = Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (one) => one.charCodeAt(0))
  return crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
}

const mac = async (key: CryptoKey, body: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.sign('HMAC', key, body))

/** Which slot of `seconds` a moment falls into. */
export const slotOf = (now: number, seconds: number): number => Math.floor(now / 1000 / seconds)

/** A code of a slot, with a nonce of its own. */
export async function codeOf(key: CryptoKey, gate: number, sitting: number, slot: number): Promise<string> {
  const body = new Uint8Array(BODY_BYTES)
  const view = new DataView(body.buffer)
  view.setUint8(0, VERSION)
  view.setBigUint64(1, BigInt(gate))
  view.setBigUint64(9, BigInt(sitting))
  view.setUint32(17, slot)
  crypto.getRandomValues(body.subarray(21))
  const code = new Uint8Array(BODY_BYTES + MAC_BYTES)
  code.set(body)
  code.set((await mac(key, body)).subarray(0, MAC_BYTES), BODY_BYTES)
  return base64url(code)
}

/** What shows the server that this device has the key. */
export const proofOf = async (key: CryptoKey): Promise<string> =>
  base64url(await mac(key, new TextEncoder().encode('state')))
