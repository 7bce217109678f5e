/** The roll of one branch at one activity: loaded, kept for the visit, ticked and corrected; ticks go when they can. */

import { onScopeDispose, ref } from 'vue'
import { Problem } from '../api'
import { serverNow } from '../clock'
import { explain } from '../explain'
import { newReference } from '../reference'
import { visit } from '../storage'
import { desk, type Line, type Method, type Refusal, type Roll } from './api'
import { Ticks } from './ticks'

/** So long a mistaken tick can be taken back as if it had never been. */
const PAUSE_MS = 2_000
const AGAIN_MS = 10_000
const RENEW_MS = 20_000

export interface Place {
  organiser: number
  activity: number
  branch: number
  ended: (problem: Problem) => void
}

export function useRoll({ organiser, activity, branch, ended }: Place) {
  const key = `chunshui.desk.roll.${organiser}.${activity}.${branch}`
  const roll = ref<Roll | null>(kept(key))
  const refusals = ref<Refusal[]>([])
  const ticks = new Ticks(organiser, activity)
  const online = ref(navigator.onLine)
  const sending = ref(false)
  const trouble = ref('')
  let soon: ReturnType<typeof setTimeout> | undefined
  let asked = 0

  /** `act`, with what went wrong told; whether it went well. */
  async function attempt(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act()
      online.value = true
      trouble.value = ''
      return true
    } catch (error) {
      if (error instanceof Problem && error.status === 401) ended(error)
      else if (error instanceof Problem && error.status === 0) online.value = false
      else trouble.value = explain(error)
      return false
    }
  }

  /** The latest question counts: an older answer shows nobody as missing again, nor is it kept after a log-out. */
  const load = (): Promise<boolean> =>
    attempt(async () => {
      const mine = ++asked
      const [found, waiting] = await Promise.all([desk.roll(activity, branch), desk.refusals(activity)])
      if (mine !== asked) return
      roll.value = found
      refusals.value = waiting
      visit.remember(key, JSON.stringify(found))
    })

  /** Send what waits, then see how things stand. Nothing waits for it: ticking goes on meanwhile. */
  async function synchronise(): Promise<void> {
    clearTimeout(soon)
    // A tick that was sent, even in vain, is not taken back here any more.
    if (sending.value || !navigator.onLine) return
    sending.value = true
    const sent = ticks.waiting.value.length > 0
    const done = await attempt(() => ticks.send((entries) => desk.enter(activity, entries)))
    if (done && sent) await load()
    sending.value = false
  }

  function tick(line: Line, sitting: number, method: Method, reason: string | null): void {
    const happened_at = new Date(serverNow()).toISOString()
    ticks.add({ member: line.member, reference: newReference(), method, sitting, happened_at, reason })
    clearTimeout(soon)
    soon = setTimeout(synchronise, PAUSE_MS)
  }

  /** Do something at the server, which cannot be done offline, and show what became of it. */
  const correct = async (act: () => Promise<unknown>): Promise<boolean> => (await attempt(act)) && (await load())

  async function settle(reference: string, member: number, settlement: string): Promise<void> {
    await attempt(async () => {
      const listed = (await desk.refusals(activity)).filter((one) => one.reference === reference && one.member === member)
      for (const one of listed) await desk.settle(activity, one.id, settlement)
      ticks.forget(reference)
      refusals.value = await desk.refusals(activity)
    })
  }

  const noticed = (): void => {
    online.value = navigator.onLine
    if (online.value) void synchronise()
  }
  addEventListener('online', noticed)
  addEventListener('offline', noticed)
  const again = setInterval(() => ticks.waiting.value.length > 0 && void synchronise(), AGAIN_MS)
  const renew = setInterval(() => document.visibilityState === 'visible' && void load(), RENEW_MS)
  onScopeDispose(() => {
    asked++
    removeEventListener('online', noticed)
    removeEventListener('offline', noticed)
    clearTimeout(soon)
    clearInterval(again)
    clearInterval(renew)
  })
  void load().then(synchronise)
  return { roll, refusals, ticks, online, sending, trouble, load, synchronise, tick, correct, settle }
}

function kept(key: string): Roll | null {
  try {
    return JSON.parse(visit.recall(key) ?? 'null') as Roll | null
  } catch {
    return null
  }
}

export type RollState = ReturnType<typeof useRoll>
