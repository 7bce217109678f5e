/** The server's clock as this browser knows it, and a ticking `now` for ages. */

import { onScopeDispose, ref, type Ref } from 'vue'
import { onServerTime } from './api'

/** Server minus browser in ms. Zero unless the clocks differ clearly: the Date header only knows whole seconds. */
let skew = 0
const CLEAR_MS = 2_000

export function learnSkew(serverTime: number, sent: number, received: number): void {
  const difference = serverTime + 500 - (sent + received) / 2
  skew = Math.abs(difference) < CLEAR_MS ? 0 : difference
}
onServerTime(learnSkew)

export const serverNow = (): number => Date.now() + skew

/** Seconds between a figure's `as_of` and now; never negative. */
export function age(asOf: string, now: number): number {
  return Math.max(0, (now - Date.parse(asOf)) / 1000)
}

/** The server's time, renewed every `everyMs` while the calling component lives. */
export function useNow(everyMs: number): Ref<number> {
  const now = ref(serverNow())
  const timer = setInterval(() => (now.value = serverNow()), everyMs)
  onScopeDispose(() => clearInterval(timer))
  return now
}
