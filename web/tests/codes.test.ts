import { createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { codeOf, importKey, proofOf, slotOf } from '../src/gate/codes'
import { windowAt } from '../src/gate/device'

const RAW = Buffer.alloc(32, 7)
const hmac = (body: Uint8Array | string): Buffer => createHmac('sha256', RAW).update(body).digest()

it('a code is gate, sitting, slot and nonce under the first half of their MAC', async () => {
  const code = await codeOf(await importKey(RAW.toString('base64url')), 2 ** 40 + 1, 3, 119_000_000)
  const bytes = Buffer.from(code, 'base64url')
  expect(bytes.length).toBe(45)
  expect([bytes[0], bytes.readBigUInt64BE(1), bytes.readBigUInt64BE(9), bytes.readUInt32BE(17)]).toEqual([
    1, 2n ** 40n + 1n, 3n, 119_000_000,
  ])
  expect(bytes.subarray(29).equals(hmac(bytes.subarray(0, 29)).subarray(0, 16))).toBe(true)
  expect(code).not.toMatch(/[+/]/)
})

it('two codes of one slot differ, and the key cannot be taken out', async () => {
  const key = await importKey(RAW.toString('base64url'))
  expect(await codeOf(key, 1, 1, 1)).not.toBe(await codeOf(key, 1, 1, 1))
  await expect(crypto.subtle.exportKey('raw', key)).rejects.toThrow()
})

it('the proof is no code’s MAC', async () => {
  const proof = await proofOf(await importKey(RAW.toString('base64url')))
  expect(Buffer.from(proof, 'base64url').equals(hmac('state'))).toBe(true)
})

it('a slot begins every fifteen seconds', () => {
  expect([0, 14_999, 15_000].map((at) => slotOf(at, 15))).toEqual([0, 0, 1])
})

it('shows the sitting that takes codes, else the next, else none', () => {
  const [first, second] = [9, 14].map((hour, id) => ({
    id, opens_at: `2026-11-25T${String(hour).padStart(2, '0')}:00:00Z`, closes_at: `2026-11-25T${hour + 1}:00:00Z`,
  })) // prettier-ignore
  const at = (time: string) => windowAt([second!, first!], Date.parse(`2026-11-25T${time}:00Z`))
  expect([at('08:00'), at('09:30'), at('10:00'), at('15:00')]).toEqual([first, first, second, null])
})
