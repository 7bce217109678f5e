/** What a paired device keeps and asks: its key, and how things stood when the server last answered. */

import { del, get, set } from 'idb-keyval'
import { call, Problem } from '../api'
import { importKey, proofOf } from './codes'

export interface Window {
  id: number
  opens_at: string
  closes_at: string
}
export interface State {
  gate: number
  name: string
  activity: number
  theme: string
  rehearsal: boolean
  timezone: string
  address: string
  sittings: Window[]
  slot_seconds: number
  now: string
}
export interface Device {
  gate: number
  key: CryptoKey
  state: State | null
  /** Server minus this device's clock in ms, as last measured. */
  skew: number
}

const KEY = 'gate'

export const remembered = async (): Promise<Device | null> => (await get<Device>(KEY)) ?? null
export const remember = (device: Device): Promise<void> => set(KEY, { ...device })
export const forget = (): Promise<void> => del(KEY)

export async function pair(code: string): Promise<Device> {
  const { body } = await call<{ gate: number; key: string }>('POST', '/gates/pairing', { body: { code } })
  return { gate: body.gate, key: await importKey(body.key), state: null, skew: 0 }
}

/** How things stand, and the server's clock beside this device's. */
export async function ask(device: Device): Promise<Device> {
  const sent = Date.now()
  const body = { gate: device.gate, proof: await proofOf(device.key) }
  const state = (await call<State>('POST', '/gates/state', { body })).body
  return { ...device, state, skew: Date.parse(state.now) - (sent + Date.now()) / 2 }
}

/** Whether the server will not have this device any more. */
export const isEnded = (error: unknown): boolean => error instanceof Problem && error.code === 'gate_unpaired'

/** The sitting that takes codes at `now`, else the next one, else none. */
export function windowAt(sittings: Window[], now: number): Window | null {
  const left = sittings.filter((one) => now < Date.parse(one.closes_at))
  return left.sort((one, other) => Date.parse(one.opens_at) - Date.parse(other.opens_at))[0] ?? null
}
