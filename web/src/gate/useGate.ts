/** A gate's page: paired or not, the code of this slot, and whether the server still answers. */

import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import { explain } from '../explain'
import { codeOf, slotOf } from './codes'
import { ask, forget, isEnded, pair, remember, remembered, windowAt, type Device } from './device'

const ASK_MS = 15_000
const TICK_MS = 250

export function useGate() {
  const device = shallowRef<Device | null>(null)
  const ready = ref(false)
  const refusal = ref('')
  const revoked = ref(false)
  const lostAt = ref(0)
  const code = ref('')
  // Counted from the last answer by a clock that nobody sets, so that a device whose own is changed shows good codes.
  let anchor = { server: Date.now(), ticks: performance.now() }
  const now = ref(Date.now())
  let drawn = ''

  const serverNow = (): number => anchor.server + performance.now() - anchor.ticks
  const state = computed(() => device.value?.state ?? null)
  const window = computed(() => (state.value ? windowAt(state.value.sittings, now.value) : null))
  const isOpen = computed(() => window.value !== null && Date.parse(window.value.opens_at) <= now.value)
  /** How much of the slot is left, 1 to 0. */
  const left = computed(() => {
    const slot = (state.value?.slot_seconds ?? 15) * 1000
    return 1 - (now.value % slot) / slot
  })

  function adopt(found: Device): void {
    device.value = found
    anchor = { server: Date.now() + found.skew, ticks: performance.now() }
  }

  async function look(): Promise<void> {
    if (device.value === null) return
    try {
      const found = await ask(device.value)
      adopt(found)
      lostAt.value = 0
      await remember(found)
    } catch (error) {
      if (isEnded(error)) await end()
      else lostAt.value ||= serverNow()
    }
  }

  async function end(): Promise<void> {
    revoked.value = true
    device.value = null
    code.value = drawn = ''
    await forget()
  }

  async function enter(pairing: string): Promise<void> {
    refusal.value = ''
    try {
      const found = await pair(pairing)
      await remember(found)
      device.value = found
      revoked.value = false
      await look()
    } catch (error) {
      refusal.value = explain(error)
    }
  }

  async function draw(): Promise<void> {
    now.value = serverNow()
    const [held, open] = [device.value, window.value]
    if (!held?.state || !open || !isOpen.value) {
      code.value = drawn = ''
      return
    }
    const slot = slotOf(now.value, held.state.slot_seconds)
    const wanted = `${held.gate}.${open.id}.${slot}`
    if (wanted === drawn) return
    drawn = wanted
    const made = await codeOf(held.key, held.gate, open.id, slot)
    if (drawn === wanted) code.value = `${held.state.address}#code=${made}`
  }

  async function start(): Promise<void> {
    const found = await remembered().catch(() => null)
    if (found) adopt(found)
    ready.value = true
    await look()
  }

  const noticed = (): void => void look()
  addEventListener('online', noticed)
  addEventListener('offline', noticed)
  document.addEventListener('visibilitychange', noticed)
  const timers = [setInterval(look, ASK_MS), setInterval(draw, TICK_MS)]
  onScopeDispose(() => {
    removeEventListener('online', noticed)
    removeEventListener('offline', noticed)
    document.removeEventListener('visibilitychange', noticed)
    timers.forEach(clearInterval)
  })
  void start()
  return { device, state, ready, refusal, revoked, lostAt, code, now, window, isOpen, left, enter }
}
